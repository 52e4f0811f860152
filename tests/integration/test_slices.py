"""MongoDB divides the documents as meant: every change in exactly one shard, and equal `_id`s in the same one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.errors import OperationFailure

from cdc_cli.capture.decode import position_of
from cdc_cli.capture.errors import translate
from cdc_cli.capture.pipeline import match_stage
from cdc_cli.errors import ConfigError
from cdc_cli.events import Position
from cdc_cli.settings.models import MongoSettings
from cdc_cli.settings.shard import MOST, Shard, all_shards
from tests.support.bson_strategies import IDS, same_number_otherwise
from tests.support.slices import owners

TOTALS = (1, 2, 3, 7, MOST)
NUMBERS: list[Any] = [0, -0.0, 0.5, -0.5, -1.5, 1.5, 0.1, 2.0**53, 2.0**63, -(2.0**63), 2.0**64, 1e30, -1e30]
NUMBERS += [1e308, 5e-324, float("nan"), float("inf"), float("-inf")]
NUMBERS += [Int64(2**63 - 1), Int64(-(2**63)), Int64(2**53 + 1), Int64(2**62)]
EXTREMES = ["NaN", "Infinity", "-Infinity", "1E+6000", "10E+5999", "-1E+6000", "1E-6000", "9223372036854775807", "-0"]
EXTREMES += ["9223372036854775808", "-9223372036854775808", "-0.50", "-1.5", "1E+30", "-1E+30", "18446744073709551616"]
FLOATS = [number for number in NUMBERS if isinstance(number, float) and abs(number) < 1e20]
NUMBERS += [Decimal128(text) for text in EXTREMES]
VARIED: list[Any] = [None, True, False, "", "a", "1", ObjectId(), Timestamp(1, 2), MinKey(), MaxKey(), b""]
VARIED += [Binary(b"a", 5), {}, {"a": 1}, {"b": 1}, {"a": {"b": 1}}, {"a": [1, 2]}, Code("a"), Code("a", {"b": 1})]
VARIED += [{"": "", "x.y": 1}]


def _are_equal(database: Database[Any], pairs: Sequence[tuple[Any, Any]]) -> list[bool]:
    """Whether MongoDB takes them for one value."""
    values = [{"a": a, "b": b} for a, b in pairs]
    stages = [{"$documents": {"$literal": values}}, {"$project": {"equal": {"$eq": ["$a", "$b"]}}}]
    return [row["equal"] for row in database.client.admin.aggregate(stages)]


@given(ids=st.lists(st.tuples(IDS, st.data()), min_size=1, max_size=30), total=st.sampled_from(TOTALS))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_id_has_one_shard_and_an_equal_id_has_the_same(
    mongo_database: Database[Any], ids: list[tuple[Any, st.DataObject]], total: int
) -> None:
    values = [id_ for id_, _ in ids]
    others = [data.draw(same_number_otherwise(id_)) for id_, data in ids]
    found, again = owners(mongo_database.client, values, total), owners(mongo_database.client, others, total)
    assert all(len(numbers) == 1 for numbers in found)
    assert found == again


@pytest.mark.parametrize("total", TOTALS)
def test_numbers_that_are_one_id_have_one_shard_at_every_edge_of_the_types(
    mongo_database: Database[Any], total: int
) -> None:
    exact = [Decimal128(str(value)) for value in map(Decimal, FLOATS) if len(value.as_tuple().digits) <= 34]
    numbers = [*NUMBERS, *exact]
    for wrap in (lambda value: value, lambda value: {"a": value}, lambda value: {"a": {"b": [value]}}):
        ids = [wrap(number) for number in numbers]
        found = owners(mongo_database.client, ids, total)
        assert all(len(numbers) == 1 for numbers in found)
        pairs = list(itertools.combinations(range(len(ids)), 2))
        equal = _are_equal(mongo_database, [(ids[a], ids[b]) for a, b in pairs])
        assert sum(equal) > len(exact)
        assert all(found[a] == found[b] for (a, b), same in zip(pairs, equal, strict=True) if same)


def test_the_documents_are_spread_evenly(mongo_database: Database[Any]) -> None:
    kinds: list[list[Any]] = [
        list(range(2000)),
        [ObjectId() for _ in range(2000)],
        [f"player-{n}" for n in range(2000)],
        [{"game": n % 7, "player": n} for n in range(2000)],
    ]
    for ids in kinds:
        sizes = Counter(numbers[0] for numbers in owners(mongo_database.client, ids, 4))
        assert min(sizes.values()) > 400, sizes


class Streams:
    """The streams of all shards, each with what it has sent."""

    def __init__(self, database: Database[Any], total: int, start_after: Sequence[Any] = ()) -> None:
        watched = MongoSettings(uri="mongodb://not.used", database=database.name)
        after = start_after or [None] * total
        self._streams = [
            database.watch([match_stage(watched, shard)], max_await_time_ms=300, start_after=token)
            for shard, token in zip(all_shards(total), after, strict=True)
        ]

    def read(self) -> list[list[dict[str, Any]]]:
        """Everything until each is quiet, or ended."""
        found: list[list[dict[str, Any]]] = []
        for stream in self._streams:
            changes = []
            while stream.alive and (change := stream.try_next()) is not None:
                changes.append(dict(change))
            found.append(changes)
        return found

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


def _positions(changes: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[Position]]:
    """By document and operation, as a watcher of this stream gives them."""
    found: dict[tuple[str, str], list[Position]] = {}
    previous = None
    for change in changes:
        previous = position_of(change, previous)
        found.setdefault((change["operationType"], repr(change["documentKey"]["_id"])), []).append(previous)
    return found


def _ids(changes: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(change["operationType"], repr(change["documentKey"]["_id"])) for change in changes]


@pytest.mark.parametrize("total", [2, 5])
def test_every_change_is_in_one_stream_in_the_order_of_its_document(mongo_database: Database[Any], total: int) -> None:
    documents = mongo_database.documents
    streams = Streams(mongo_database, total)
    whole = Streams(mongo_database, 1)
    seen: dict[str, Any] = {}
    for id_ in [*NUMBERS, *VARIED, *(ObjectId() for _ in range(20))]:
        if documents.find_one({"_id": id_}) is None:
            documents.insert_one({"_id": id_})
            seen[repr(id_)] = id_
    for id_ in seen.values():
        documents.update_one({"_id": id_}, {"$set": {"n": 1}})
        documents.replace_one({"_id": id_}, {"m": 2})
    with mongo_database.client.start_session() as session, session.start_transaction():
        for id_ in seen.values():
            documents.update_one({"_id": id_}, {"$set": {"n": 3}}, session=session)
            documents.update_one({"_id": id_}, {"$set": {"n": 4}}, session=session)
    for id_ in seen.values():
        documents.delete_one({"_id": id_})

    parts, everything = streams.read(), whole.read()[0]
    streams.close()
    whole.close()
    assert len(everything) == 6 * len(seen)
    assert Counter(itertools.chain.from_iterable(map(_ids, parts))) == Counter(_ids(everything))
    assert all(parts)
    whole_positions = _positions(everything)
    for changes in parts:
        assert all(whole_positions[key] == positions for key, positions in _positions(changes).items())
        ids = {id_ for _, id_ in _ids(changes)}
        assert _ids(changes) == [entry for entry in _ids(everything) if entry[1] in ids]


def test_every_shard_is_told_that_its_stream_ended_and_goes_on_behind_that(mongo_database: Database[Any]) -> None:
    mongo_database.documents.insert_one({"_id": -1})
    streams = Streams(mongo_database, 3)
    mongo_database.client.drop_database(mongo_database.name)
    ended = streams.read()
    streams.close()
    assert [[change["operationType"] for change in changes] for changes in ended] == [["invalidate"]] * 3

    streams = Streams(mongo_database, 3, [changes[-1]["_id"] for changes in ended])
    mongo_database.documents.insert_many([{"_id": number} for number in range(30)])
    parts = streams.read()
    streams.close()
    assert sorted(change["documentKey"]["_id"] for changes in parts for change in changes) == list(range(30))


def test_a_stream_goes_on_after_the_token_of_its_own_change(mongo_database: Database[Any]) -> None:
    streams = Streams(mongo_database, 2)
    mongo_database.documents.insert_many([{"_id": number} for number in range(40)])
    parts = streams.read()
    streams.close()
    again = Streams(mongo_database, 2, [changes[4]["_id"] for changes in parts])
    rest = again.read()
    again.close()
    assert [_ids(changes) for changes in rest] == [_ids(changes[5:]) for changes in parts]


def test_the_hash_is_evaluated_on_the_oplog_before_changes_are_made_of_it(mongo_database: Database[Any]) -> None:
    watched = MongoSettings(uri="mongodb://not.used", database=mongo_database.name)
    stages = [{"$changeStream": {}}, match_stage(watched, Shard(1, 2))]
    command = {"aggregate": 1, "pipeline": stages, "cursor": {}}
    explained = mongo_database.command({"explain": command, "verbosity": "queryPlanner"})
    assert "$toHashedIndexKey" in str(explained["stages"][0]["$cursor"])


def test_a_server_without_the_hash_is_told_apart_from_an_outage(mongo_database: Database[Any]) -> None:
    unknown = {"$match": {"$expr": {"$toHashedIndexKeyOfTheFuture": 1}}}
    with pytest.raises(OperationFailure) as failed:
        mongo_database.watch([unknown]).close()
    error = translate("opening the change stream", failed.value)
    assert isinstance(error, ConfigError)
    assert error.code == "mongodb.no_shards"
