"""What MongoDB itself says about positions and its oplog."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from cdc_cli.capture.probe import Resumable
from cdc_cli.capture.source import MongoSource
from cdc_cli.demo.servers import EmbeddedMongo
from cdc_cli.demo.servers.process import free_port
from cdc_cli.events import Mark
from cdc_cli.settings.models import MongoSettings


@pytest.fixture
def source(mongo: EmbeddedMongo, mongo_database: Database[Any]) -> Iterator[MongoSource]:
    made = MongoSource(MongoSettings(uri=mongo.uri, database=mongo_database.name, collections=["players"]))
    yield made
    made.close()


@contextmanager
def _failing(client: MongoClient[Any], code: int, *commands: str) -> Iterator[None]:
    """The server answers the next of these commands of our application with an error."""
    data = {"failCommands": list(commands), "errorCode": code, "appName": "cdc token"}
    client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def _time(seconds: int) -> Mark:
    return Mark({}, None, (seconds, 1), is_event=False)


def test_the_token_of_now_misses_nothing_that_comes_after_it(
    source: MongoSource, mongo_database: Database[Any]
) -> None:
    mongo_database.players.insert_one({"_id": "before"})
    mark = source.now()
    mongo_database.players.insert_one({"_id": "after"})
    assert source.probe(mark).verdict is Resumable.YES
    assert mark.position is None and mark.cluster_time is not None and not mark.is_event
    with mongo_database.watch(start_after=mark.token, max_await_time_ms=500) as stream:
        assert stream.next()["documentKey"] == {"_id": "after"}


def test_the_oldest_entry_and_the_token_of_an_event_are_resumable(
    source: MongoSource, mongo_database: Database[Any]
) -> None:
    oplog = source.oplog()
    assert oplog is not None
    assert source.probe(Mark({}, None, oplog.first, False)).verdict is Resumable.YES
    with mongo_database.watch(max_await_time_ms=500) as stream:
        mongo_database.players.insert_one({"_id": 1})
        change = stream.next()
    assert source.probe(Mark(change["_id"], None, None, True)).verdict is Resumable.YES


@pytest.mark.parametrize("token", [{"_data": "826B04"}, {"_data": "zz"}, {"_data": ""}, {"x": 1}])
def test_what_is_no_token_is_not_resumable(source: MongoSource, token: dict[str, Any]) -> None:
    found = source.probe(Mark(token, None, None, True))
    assert found.verdict is Resumable.NO
    assert found.reason


def test_a_mark_of_nothing_is_not_resumable(source: MongoSource) -> None:
    assert source.probe(Mark({}, None, None, False)).verdict is Resumable.NO


def test_a_position_that_fell_off_the_oplog_is_not_resumable(
    source: MongoSource, mongo_database: Database[Any]
) -> None:
    mark = source.now()
    with _failing(mongo_database.client, 286, "getMore"):
        found = source.probe(mark)
    assert found.verdict is Resumable.NO
    assert "no longer in MongoDB's oplog" in found.reason


def test_a_token_that_the_filter_hides_is_resumable_from_its_time(
    source: MongoSource, mongo_database: Database[Any]
) -> None:
    mark = source.now()
    data = {"failCommands": ["getMore"], "errorCode": 280, "appName": "cdc token"}
    mongo_database.client.admin.command(
        {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
    )
    found = source.probe(mark)
    assert (found.verdict, "from its cluster time" in found.reason) == (Resumable.YES, True)


def test_a_refused_user_leaves_the_question_open(source: MongoSource, mongo_database: Database[Any]) -> None:
    mark = source.now()
    with _failing(mongo_database.client, 13, "aggregate"):
        assert source.probe(mark).verdict is Resumable.UNKNOWN


def test_an_unreachable_server_leaves_the_question_open() -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/?replicaSet=rs0"
    source = MongoSource(MongoSettings(uri=uri))
    assert source.probe(_time(1)).verdict is Resumable.UNKNOWN
    source.close()


def test_the_oplog_is_told_with_a_runway_for_its_newest_entry(
    source: MongoSource, mongo_database: Database[Any]
) -> None:
    mongo_database.players.insert_many([{"x": "y" * 1000} for _ in range(50)])
    oplog = source.oplog()
    assert oplog is not None
    assert oplog.first <= oplog.last
    # Not `size < max_size`: mongod trims late, and for a while the oplog may be larger than its maximum.
    assert oplog.size > 0 and oplog.max_size > 0
    assert oplog.recent_rate > 0
    assert abs(oplog.now - time.time()) < 60
    assert oplog.runway(oplog.last) > 0
    assert oplog.runway((1, 1)) == 0


def test_changes_between_two_times_are_counted(source: MongoSource, mongo_database: Database[Any]) -> None:
    before = source.now().cluster_time
    mongo_database.players.insert_many([{} for _ in range(20)])
    after = source.now().cluster_time
    mongo_database.players.insert_one({})
    assert before is not None
    count, all_of_them = source.count(before, after), source.count(before)
    assert count is not None and all_of_them is not None
    assert 20 <= count < all_of_them
