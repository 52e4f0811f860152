"""A token of somewhere else is told apart from a token of another filter."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_cli.checkpoint.belonging import Belonging, mismatches
from tests.support.tokens import record

HERE: dict[str, str] = {
    "stream": "database game",
    "fingerprint": "0123456789abcdef",
    "replica_set": "rs0",
    "cluster_id": "65a000000000000000000001",
}


def _kinds(**other: Any) -> list[str]:
    return list(mismatches(record(), Belonging(**HERE | other), "collections players; operations insert"))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, []),
        ({"fingerprint": "ffff"}, ["fingerprint"]),
        ({"stream": "deployment", "fingerprint": "ffff"}, ["stream"]),
        ({"stream": "database game, shard 1/4"}, ["stream"]),
        ({"replica_set": "rs1"}, ["deployment"]),
        ({"cluster_id": "f" * 24, "stream": "deployment"}, ["deployment", "stream"]),
        ({"cluster_id": "", "replica_set": ""}, []),
    ],
)
def test_each_difference_is_named_and_what_is_not_known_is_none(
    other: dict[str, str], expected: list[str]
) -> None:
    assert _kinds(**other) == expected


def test_a_changed_filter_says_what_is_missed_and_what_to_do() -> None:
    here = Belonging(**HERE | {"fingerprint": "x"})
    found = mismatches(record(), here, "collections players; operations all")
    assert "collections players" in found["fingerprint"]
    assert "reset to an earlier time" in found["fingerprint"]
