"""MongoDB and `matches` agree on what is watched, and the filter lets an ended stream go on."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.database import Database

from cdc_cli.capture.pipeline import match_stage, matches
from cdc_cli.settings.models import MongoSettings

COLLECTIONS = ["players", "players2", "PLAYERS", "match_1", "match_22", "a.b", "fs.files", "a*b", "m\nx", "[z]"]
COLLECTIONS += ["mä"]
ENTRIES = [None, ["players"], ["match_*", "a.b"], ["match_?", "[?]"], ["m?x", "m?", "*.*"], ["P*", "a\\*b"]]
ENTRIES += [["a*b"]]
WIDE_ENTRIES = [None, ["{a}.match_*", "players"], ["*.fs.files", "{b}.[*"], ["{a}*.a.b"]]


def _settings(**fields: Any) -> MongoSettings:
    return MongoSettings(uri="mongodb://not.used", **fields)


def _write_everywhere(*databases: Database[Any]) -> None:
    for database in databases:
        for name in COLLECTIONS:
            database[name].insert_one({"_id": 1})


def _seen(target: Any, settings: MongoSettings, *databases: Database[Any]) -> set[tuple[str, str]]:
    with target.watch([match_stage(settings)], max_await_time_ms=500) as stream:
        _write_everywhere(*databases)
        seen = set()
        while (change := stream.try_next()) is not None:
            if change["operationType"] == "insert":
                seen.add((change["ns"]["db"], change["ns"]["coll"]))
        return seen


@pytest.mark.parametrize("entries", ENTRIES, ids=str)
def test_a_database_stream_sends_what_the_names_say(
    mongo_database: Database[Any], entries: list[str] | None
) -> None:
    settings = _settings(database=mongo_database.name, collections=entries)
    expected = {(mongo_database.name, c) for c in COLLECTIONS if matches(settings, mongo_database.name, c)}
    assert _seen(mongo_database, settings, mongo_database) == expected


@pytest.mark.parametrize("template", WIDE_ENTRIES, ids=str)
def test_a_deployment_stream_sends_what_the_names_say(
    mongo_database: Database[Any], template: list[str] | None
) -> None:
    client = mongo_database.client
    other = client[f"{mongo_database.name}x"]
    entries = template and [e.format(a=mongo_database.name, b=other.name) for e in template]
    settings = _settings(collections=entries)
    try:
        seen = _seen(client, settings, mongo_database, other)
    finally:
        client.drop_database(other.name)
    expected = {
        (database.name, c)
        for database in (mongo_database, other)
        for c in COLLECTIONS
        if matches(settings, database.name, c)
    }
    assert {pair for pair in seen if pair[0].startswith(mongo_database.name)} == expected


def test_only_the_wanted_operations_are_sent(mongo_database: Database[Any]) -> None:
    settings = _settings(database=mongo_database.name, operations=["delete", "replace"])
    with mongo_database.watch([match_stage(settings)], max_await_time_ms=500) as stream:
        mongo_database.players.insert_one({"_id": 1})
        mongo_database.players.update_one({"_id": 1}, {"$set": {"n": 1}})
        mongo_database.players.replace_one({"_id": 1}, {"n": 2})
        mongo_database.players.delete_one({"_id": 1})
        assert [stream.next()["operationType"] for _ in range(2)] == ["replace", "delete"]


def test_dropping_one_collection_does_not_end_the_stream(mongo_database: Database[Any]) -> None:
    mongo_database.players.insert_one({"_id": 1})
    settings = _settings(database=mongo_database.name, collections=["players"])
    with mongo_database.watch([match_stage(settings)], max_await_time_ms=500) as stream:
        mongo_database.players.drop()
        mongo_database.players.insert_one({"_id": 2})
        assert stream.next()["documentKey"] == {"_id": 2}


def test_a_dropped_database_is_reported_and_the_stream_goes_on_behind_it(
    mongo_database: Database[Any],
) -> None:
    mongo_database.players.insert_one({"_id": 1})
    pipeline = [match_stage(_settings(database=mongo_database.name, operations=["insert"]))]
    with mongo_database.watch(pipeline, max_await_time_ms=500) as stream:
        mongo_database.client.drop_database(mongo_database.name)
        change = stream.next()
    assert change["operationType"] == "invalidate"
    mongo_database.players.insert_one({"_id": 2})
    with mongo_database.watch(pipeline, start_after=change["_id"], max_await_time_ms=500) as stream:
        assert stream.next()["documentKey"] == {"_id": 2}
