"""The JSON Schema in the package says what records look like."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_cli.envelope import Encoder
from cdc_cli.events import ChangeEvent, Operation
from tests.support.bson_strategies import DOCUMENTS, IDS
from tests.support.json_schema import Schema
from tests.unit.envelope.events import event

SCHEMA = Schema(json.loads(resources.files("cdc_cli.envelope").joinpath("schema.json").read_text("utf-8")))


def events() -> st.SearchStrategy[ChangeEvent]:
    optional = st.none() | DOCUMENTS
    return st.builds(
        event, optional, IDS, st.sampled_from(Operation), before=optional, update=optional, missing=st.booleans()
    )


@pytest.mark.requirement("R3.5")
@settings(deadline=None)
@given(events())
def test_every_record_satisfies_the_schema(changed: ChangeEvent) -> None:
    assert SCHEMA.valid(json.loads(Encoder().encode(changed)[1]))


GOOD = {"v": 1, "op": "insert", "ns": "g.p", "pos": "0000000001.0000000002.0000000000", "ts": 1, "id": 1, "doc": {}}


def test_the_checker_takes_a_plain_record() -> None:
    assert SCHEMA.valid(GOOD)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"op": "drop"}, {"ns": "nodot"}, {"pos": "1.2.3"}, {"ts": "1"}, {"doc": []}, {"doc": "{}"},
        {"missing": False}, {"doc": {"a": {"$oid": "x"}}}, {"doc": {"a": {"$date": "x"}}}, {"doc": {"a": {"$set": 1}}},
        {"doc": {"$oid": "65a5f1c2e4b0a1b2c3d4e5f6"}}, {"id": {"$numberDouble": "1.0"}}, {"before": 5},
    ],
)  # fmt: skip
def test_the_schema_refuses_what_we_never_write(change: dict[str, Any]) -> None:
    assert not SCHEMA.valid(GOOD | change)


@pytest.mark.parametrize("name", ["v", "op", "ns", "pos", "ts", "id"])
def test_the_schema_wants_every_member_of_the_head(name: str) -> None:
    assert not SCHEMA.valid({key: value for key, value in GOOD.items() if key != name})
