"""Stream name, filter and fingerprint; that MongoDB agrees is in tests/integration/test_stream_filter.py."""

from __future__ import annotations

from typing import Any

import pytest
from bson.regex import Regex
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.capture.pipeline import filters_text, fingerprint, match_stage, matches, stream_name
from cdc_cli.settings.models import MongoSettings
from cdc_cli.settings.shard import Shard

names = st.text(st.sampled_from("ab.*?[]^$\\\n é"), min_size=1, max_size=8)


def _settings(**fields: Any) -> MongoSettings:
    return MongoSettings(uri="mongodb://localhost", **fields)


def test_the_stream_is_named_after_what_is_watched() -> None:
    assert stream_name(_settings(database="game"), None) == "database game"
    assert stream_name(_settings(), None) == "deployment"
    assert stream_name(_settings(database="game"), Shard(1, 4)) == "database game, shard 1/4"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"collections": ["a", "b"]}, {"collections": ["b", "a", "a"]}),
        ({"collections": None}, {"collections": ["*", "a"]}),
        ({"collections": ["a**"]}, {"collections": ["a*"]}),
        ({"operations": ["insert", "update"]}, {"operations": ["update", "insert"]}),
        ({"full_document": "default"}, {"full_document": "required"}),
        ({"pre_images": "none"}, {"pre_images": "required"}),
    ],
)
def test_the_fingerprint_does_not_change_with_what_leaves_the_token_good(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert fingerprint(_settings(**one)) == fingerprint(_settings(**other))


@pytest.mark.parametrize(
    "other", [{"database": "shop"}, {"collections": ["a"]}, {"operations": ["insert"]}, {"database": None}]
)
def test_the_fingerprint_changes_with_scope_collections_and_operations(other: dict[str, Any]) -> None:
    base: dict[str, Any] = {"database": "game"}
    assert fingerprint(_settings(**base)) != fingerprint(_settings(**base | other))


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert fingerprint(_settings(database="game", collections=["players"])) == "f5345bb063c622ae"


def test_a_literal_name_stays_a_string_and_a_glob_becomes_an_anchored_expression() -> None:
    stage = match_stage(_settings(database="game", collections=["a.b+", "m[*?"]))
    assert stage["$match"]["ns.coll"] == {"$in": ["a.b+", Regex(r"\Am\[.*.\z", "s"), None]}


def test_a_whole_database_has_no_filter_by_name_and_a_deployment_leaves_the_system_out() -> None:
    assert "ns.coll" not in match_stage(_settings(database="game"))["$match"]
    assert match_stage(_settings())["$match"]["ns.db"] == {"$nin": ["admin", "config", "local", "cdc_bench"]}


@pytest.mark.parametrize(
    ("entry", "database", "collection", "expected"),
    [
        ("players", "game", "players", True),
        ("players", "shop", "players", True),
        ("players", "shop", "players2", False),
        ("shop.orders", "shop", "orders", True),
        ("shop.orders", "game", "orders", False),
        ("sh?p.*", "shop", "a.b", True),
        ("*.fs.files", "game", "fs.files", True),
        ("fs.files", "game", "fs.files", False),
        ("fs.files", "fs", "files", True),
        ("*", "admin", "system.users", False),
    ],
)
def test_entries_of_a_deployment_divide_at_the_first_dot(
    entry: str, database: str, collection: str, expected: bool
) -> None:
    assert matches(_settings(collections=[entry]), database, collection) is expected


@given(names)
def test_a_literal_name_matches_itself(name: str) -> None:
    assert matches(_settings(database="game", collections=[name]), "game", name)


@given(names, names)
def test_a_name_without_wildcards_matches_nothing_else(name: str, other: str) -> None:
    literal = name.replace("*", "x").replace("?", "y")
    assert matches(_settings(database="g", collections=[literal]), "g", other) is (literal == other)


def test_another_database_is_never_watched() -> None:
    assert not matches(_settings(database="game"), "shop", "players")


def test_many_stars_take_no_time() -> None:
    assert not matches(_settings(database="g", collections=["*" * 60 + "b"]), "g", "a" * 5000)


def test_the_filter_can_be_told_in_words() -> None:
    assert filters_text(_settings(collections=["b", "a*"], operations=["insert"])) == (
        "collections a*, b; operations insert"
    )
    assert filters_text(_settings(operations=["delete"])) == "collections all; operations delete"
