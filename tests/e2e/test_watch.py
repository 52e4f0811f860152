"""`cdc watch`: what MongoDB's change stream says arrives in Kafka, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson import SON, ObjectId, encode
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern
from redis import Redis

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedValkey
from tests.support.bson_strategies import document_of, string_element
from tests.support.cdc_process import CdcProcess
from tests.support.failpoints import failing
from tests.support.fixtures import started
from tests.support.pipeline import Pipeline
from tests.support.proxy import Proxy
from tests.support.topics import Kept, Topics

MB = 1_000_000
NOT_RESUMABLE = 11601


@pytest.fixture
def topics(kafka: ApacheKafka) -> Iterator[Topics]:
    with Topics(kafka.bootstrap) as found:
        yield found


def _events(pipeline: Pipeline, topics: Topics, *collections: str) -> list[dict[str, Any]]:
    names = [pipeline.topic(name) for name in collections or ("players",)]
    return sorted((record.event for record in topics.read(names)), key=lambda event: event["pos"])


def _await_events(
    pipeline: Pipeline, topics: Topics, watch: CdcProcess, count: int, *collections: str, timeout: float = 30
) -> list[dict[str, Any]]:
    """All events in stream order as soon as there are `count` of them."""
    watch.wait_until(lambda: len(_events(pipeline, topics, *collections)) >= count, f"{count} events", timeout)
    return _events(pipeline, topics, *collections)


def _await_token(pipeline: Pipeline, position: str) -> None:
    pipeline.wait_until(lambda: (pipeline.token() or {}).get("position") == position, f"a token at {position}")


@pytest.mark.requirement("R1.1", "R1.3", "R3.1", "R3.5", "R2.1")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_every_kind_of_change_is_published_as_json_with_its_document(
    pipeline: Pipeline, topics: Topics, client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch = pipeline.watch()
    players = pipeline.database["players"]
    players.insert_one({"_id": "p1", "level": 1})
    players.update_one({"_id": "p1"}, {"$set": {"level": 2}})
    players.replace_one({"_id": "p1"}, {"name": "new"})
    players.delete_one({"_id": "p1"})
    events = _await_events(pipeline, topics, watch, 4)
    assert [event["op"] for event in events] == ["insert", "update", "replace", "delete"]
    assert {event["ns"] for event in events} == {f"{pipeline.database.name}.players"}
    assert events[0]["doc"] == {"_id": "p1", "level": 1}
    assert events[2]["doc"] == {"_id": "p1", "name": "new"}
    assert "doc" not in events[3] and events[3]["id"] == "p1"
    _await_token(pipeline, events[-1]["pos"])


@pytest.mark.requirement("R1.1")
def test_keys_and_partitions_are_the_same_with_both_kafka_drivers(pipeline: Pipeline, topics: Topics) -> None:
    ids: list[Any] = [1, 1.5, "1", ObjectId(), {"a": 1}, b"x", None]
    watch = pipeline.watch()
    for name, client in (("one", "kafka-python"), ("two", "confluent")):
        assert watch.stop() == 0
        watch = pipeline.watch(changes={"kafka.client": client})
        pipeline.database[name].insert_many([{"_id": id_} for id_ in ids])
        _await_events(pipeline, topics, watch, len(ids), name)

    def places(name: str) -> dict[bytes | None, int]:
        return {record.key: record.partition for record in topics.read([pipeline.topic(name)])}

    assert places("one") == places("two")
    assert len(places("one")) == len(ids)


@pytest.mark.requirement("R2.2", "R2.3")
def test_a_first_start_begins_now_with_a_warning_and_a_restart_goes_on(pipeline: Pipeline, topics: Topics) -> None:
    players = pipeline.database["players"]
    players.insert_one({"_id": "before the first start"})
    watch = pipeline.watch()
    (warning,) = watch.logged("token.none")
    assert warning["log.level"] == "warn" and "now" in warning["message"]
    players.insert_one({"_id": "while it runs"})
    _await_events(pipeline, topics, watch, 1)
    assert watch.stop() == 0
    players.insert_one({"_id": "while it is down"})
    again = pipeline.watch()
    assert not again.logged("token.none")
    events = _await_events(pipeline, topics, again, 2)
    assert [event["id"] for event in events] == ["while it runs", "while it is down"]


@pytest.mark.requirement("R2.2")
def test_start_from_oldest_sends_what_the_oplog_has(pipeline: Pipeline, topics: Topics) -> None:
    pipeline.set("watcher.start_from", "oldest")
    pipeline.database["players"].insert_one({"_id": "before the first start"})
    watch = pipeline.watch()
    assert [event["id"] for event in _await_events(pipeline, topics, watch, 1)] == ["before the first start"]


@pytest.mark.requirement("R2.4", "R12.1")
def test_a_failed_save_is_logged_and_retried(
    pipeline: Pipeline, topics: Topics, valkey: EmbeddedValkey, redis_prefix: str, proxied: Callable[[int], Proxy]
) -> None:
    proxy = proxied(valkey.port)
    pipeline.set("token_store.backend", "redis")
    pipeline.set("token_store.redis", {"url": f"redis://{proxy.address}/0", "key_prefix": redis_prefix})
    watch = pipeline.watch()
    proxy.refuse()
    proxy.reset()
    pipeline.database["players"].insert_one({"_id": 1})
    retry = watch.wait_for("retry")
    assert "saving the resume token" in retry["message"] and retry["log.level"] == "warn"
    (event,) = _await_events(pipeline, topics, watch, 1)
    proxy.heal()
    with Redis.from_url(valkey.url) as client:

        def is_saved() -> bool:
            return event["pos"].encode() in (client.hget(f"{redis_prefix}token", "record") or b"")

        watch.wait_until(is_saved, "the token is saved")


@pytest.mark.requirement("R1.4", "R12.1", "R12.4")
@pytest.mark.parametrize("commands", [["getMore"], ["getMore", "aggregate"]], ids="+".join)
def test_a_failing_change_stream_is_opened_again_with_growing_waits(
    pipeline: Pipeline, topics: Topics, mongo: EmbeddedMongo, commands: list[str]
) -> None:
    watch = pipeline.watch()
    pipeline.database["players"].insert_one({"_id": 0})
    _await_events(pipeline, topics, watch, 1)
    with failing(mongo, f"cdc:{pipeline.name}", commands, NOT_RESUMABLE):
        pipeline.database["players"].insert_one({"_id": 1})
        watch.wait_for("retry", count=4)
    events = _await_events(pipeline, topics, watch, 2)
    assert [event["id"] for event in events] == [0, 1]
    assert watch.stop() == 0


@pytest.mark.requirement("R1.4", "R12.4")
def test_watch_survives_a_mongodb_that_is_killed_and_comes_back(
    pipeline: Pipeline, topics: Topics, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with started(EmbeddedMongo(tmp_path_factory.mktemp("mongodb-to-kill"))) as mongo:
        from pymongo import MongoClient

        pipeline.set("mongodb.uri", mongo.uri)
        with MongoClient[dict[str, Any]](mongo.uri) as client:
            concern = WriteConcern("majority", j=True)
            players = client[pipeline.database.name].get_collection("players", write_concern=concern)
            watch = pipeline.watch()
            for number in range(2):
                players.insert_many([{"_id": f"{number} {n}"} for n in range(50)])
                mongo.kill()
                watch.wait_for("retry", count=number + 1)
                mongo.start()
            players.insert_one({"_id": "at last"})
            events = _await_events(pipeline, topics, watch, 101, timeout=60)
    assert {event["id"] for event in events} == {f"{a} {n}" for a in range(2) for n in range(50)} | {"at last"}


@pytest.mark.requirement("R2.1", "R1.3")
def test_a_quiet_stream_advances_its_token(pipeline: Pipeline) -> None:
    watch = pipeline.watch()
    before = pipeline.token()
    elsewhere = pipeline.database.client[f"{pipeline.database.name}-elsewhere"]
    try:
        elsewhere["x"].insert_one({"_id": 1})
        assert before is not None
        pipeline.wait_until(lambda: (pipeline.token() or {})["token"] != before["token"], "another token")
    finally:
        elsewhere.client.drop_database(elsewhere.name)
    assert watch.exit_code is None


@pytest.mark.requirement("R1.1", "R1.4")
def test_dropping_collection_and_database_does_not_end_the_stream(pipeline: Pipeline, topics: Topics) -> None:
    watch = pipeline.watch()
    pipeline.database["players"].insert_one({"_id": 1})
    pipeline.database["players"].drop()
    pipeline.database["players"].insert_one({"_id": 2})
    pipeline.database["players"].rename("gamers")
    pipeline.database.client.drop_database(pipeline.database.name)
    pipeline.database["players"].insert_one({"_id": 3})
    events = _await_events(pipeline, topics, watch, 3)
    assert [event["id"] for event in events] == [1, 2, 3]
    assert watch.exit_code is None


@pytest.mark.requirement("R1.1", "R1.3")
def test_the_changes_of_a_transaction_keep_their_order(pipeline: Pipeline, topics: Topics) -> None:
    watch = pipeline.watch()
    players = pipeline.database["players"]
    players.insert_one({"_id": 1, "n": 0})
    with pipeline.database.client.start_session() as session, session.start_transaction():
        for _ in range(3):
            players.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
        players.delete_one({"_id": 1}, session=session)
        players.insert_one({"_id": 1, "n": 9}, session=session)
    events = _await_events(pipeline, topics, watch, 6)
    assert [event["op"] for event in events] == ["insert", "update", "update", "update", "delete", "insert"]
    times = {event["pos"].rpartition(".")[0] for event in events[1:]}
    assert len(times) == 1, "the events of a transaction share a cluster time"
    assert [int(event["pos"].rpartition(".")[2]) for event in events[1:]] == [0, 1, 2, 3, 4]


@pytest.mark.requirement("R1.3", "R12.5")
def test_an_event_over_16_mb_is_published_with_the_document_looked_up(pipeline: Pipeline, topics: Topics) -> None:
    watch = pipeline.watch()
    players = pipeline.database["players"]
    players.insert_one({"_id": "big", "a": "x" * 15 * MB})
    _await_events(pipeline, topics, watch, 1, timeout=60)
    players.update_one({"_id": "big"}, {"$set": {"a": "y" * 15 * MB}})
    players.insert_one({"_id": "after"})
    events = _await_events(pipeline, topics, watch, 3, timeout=60)
    assert [(event["id"], event["op"]) for event in events] == [
        ("big", "insert"), ("big", "update"), ("after", "insert"),
    ]  # fmt: skip
    assert events[1]["doc"]["a"] == "y" * 15 * MB


@pytest.mark.requirement("R1.3", "R12.5")
def test_a_document_of_nearly_16_mb_arrives_in_postgresql(pipeline: Pipeline) -> None:
    processes = pipeline.watch(), pipeline.sync()
    pipeline.database["players"].insert_one({"_id": "big", "text": "z" * int(15.9 * 1024 * 1024)})
    pipeline.wait_in_sync(*processes, timeout=90)


@pytest.mark.requirement("R12.5", "R1.3")
def test_text_that_is_not_utf8_is_published_without_harm_to_its_neighbours(
    pipeline: Pipeline, topics: Topics
) -> None:
    watch = pipeline.watch()
    bad = RawBSONDocument(document_of(b"text", string_element(b"a\xff\xfeb")))
    raw = encode(SON([("_id", "bad")]))[:-1] + bytes(bad.raw)[4:]
    raw = len(raw).to_bytes(4, "little") + raw[4:]
    players = pipeline.database["players"]
    players.insert_one({"_id": "first"})
    pipeline.database.command("insert", "players", documents=[RawBSONDocument(raw)])
    players.insert_one({"_id": "last"})
    records: list[Kept] = []

    def arrived() -> bool:
        records[:] = topics.read([pipeline.topic("players"), pipeline.dead_letter_topic])
        return len(records) >= 3

    watch.wait_until(arrived, "three records")
    texts = {json.dumps(record.event.get("doc")) for record in records if record.topic == pipeline.topic("players")}
    assert {'{"_id": "first"}', '{"_id": "last"}'} <= texts
    assert watch.exit_code is None


@pytest.mark.requirement("R1.1")
def test_a_whole_deployment_is_watched_when_no_database_is_named(pipeline: Pipeline, topics: Topics) -> None:
    pipeline.set("mongodb.database", None)
    pipeline.set("mongodb.collections", [f"{pipeline.database.name}.*", f"{pipeline.database.name}-b.*"])
    watch = pipeline.watch()
    other = pipeline.database.client[f"{pipeline.database.name}-b"]
    try:
        pipeline.database["players"].insert_one({"_id": 1})
        other["players"].insert_one({"_id": 2})
        first, second = f"{pipeline.name}.{pipeline.name}.players", f"{pipeline.name}.{pipeline.name}-2db.players"
        watch.wait_until(lambda: len(topics.read([first, second])) == 2, "an event of each database")
        assert {record.topic: record.event["id"] for record in topics.read([first, second])} == {first: 1, second: 2}
    finally:
        other.client.drop_database(other.name)


@pytest.mark.requirement("R1.1", "R3.1")
def test_globs_choose_collections_and_the_template_names_the_topics(pipeline: Pipeline, topics: Topics) -> None:
    pipeline.set("mongodb.collections", ["match_*", "players"])
    pipeline.set("mongodb.operations", ["insert", "delete"])
    pipeline.set("kafka.topic", "{name}.all.{collection}")
    watch = pipeline.watch()
    for name in ("match_1", "matches", "match_ä b", "players"):
        pipeline.database[name].insert_one({"_id": 1})
        pipeline.database[name].update_one({"_id": 1}, {"$set": {"a": 1}})
    pipeline.database["players"].delete_one({"_id": 1})
    wanted = {f"{pipeline.name}.all.{name}" for name in ("match_1", "match_-c3-a4-20b", "players")}
    watch.wait_until(lambda: len(topics.read(wanted)) == 4, "four events")
    assert topics.names(f"{pipeline.name}.") == wanted
    assert sorted(record.event["op"] for record in topics.read(wanted)) == ["delete", "insert", "insert", "insert"]


@pytest.mark.requirement("R1.3")
def test_pre_images_travel_when_they_are_asked_for(pipeline: Pipeline, topics: Topics) -> None:
    pipeline.set("mongodb.pre_images", "whenAvailable")
    pipeline.set("mongodb.full_document", "whenAvailable")
    pipeline.database.create_collection("players", changeStreamPreAndPostImages={"enabled": True})
    watch = pipeline.watch()
    players = pipeline.database["players"]
    players.insert_one({"_id": 1, "n": 1})
    players.update_one({"_id": 1}, {"$set": {"n": 2}})
    players.delete_one({"_id": 1})
    events = _await_events(pipeline, topics, watch, 3)
    assert [event.get("before") for event in events] == [None, {"_id": 1, "n": 1}, {"_id": 1, "n": 2}]
    assert events[1]["doc"] == {"_id": 1, "n": 2}


@pytest.mark.requirement("R3.2", "R3.3", "R3.4", "R12.1")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_silent_kafka_stops_reading_at_the_bound_and_loses_nothing(
    pipeline: Pipeline, topics: Topics, kafka_proxy: Proxy, client: str
) -> None:
    pipeline.set("kafka.client", client)
    pipeline.set("kafka.bootstrap_servers", [kafka_proxy.address])
    pipeline.set("watcher.max_in_flight", {"events": 100, "size": "1MiB"})
    watch = pipeline.watch()
    pipeline.database["players"].insert_one({"_id": -1})
    (first,) = _await_events(pipeline, topics, watch, 1)
    _await_token(pipeline, first["pos"])
    kafka_proxy.blackhole()
    pipeline.database["players"].insert_many([{"_id": n, "text": "x" * 500} for n in range(3000)])
    saved = pipeline.token()
    assert saved is not None and saved["position"] == first["pos"], "no token before Kafka has acknowledged"
    kafka_proxy.heal()
    events = _await_events(pipeline, topics, watch, 3001, timeout=90)
    assert {event["id"] for event in events} == set(range(-1, 3000))
    _await_token(pipeline, events[-1]["pos"])


@pytest.fixture(scope="module")
def kafka_to_kill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    with started(ApacheKafka(tmp_path_factory.mktemp("kafka-to-kill"))) as server:
        yield server


@pytest.mark.requirement("R3.3", "R3.4", "R4.1", "R12.4")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_watch_and_sync_survive_a_kafka_that_is_killed_and_comes_back(
    pipeline: Pipeline, kafka_to_kill: ApacheKafka, client: str
) -> None:
    pipeline.set("kafka.client", client)
    pipeline.set("kafka.bootstrap_servers", [kafka_to_kill.bootstrap])
    watch, sync = pipeline.watch(), pipeline.sync()
    players = pipeline.database["players"]
    players.insert_many([{"_id": n} for n in range(500)])
    pipeline.wait_in_sync(watch, sync)
    kafka_to_kill.kill()
    players.insert_many([{"_id": n} for n in range(500, 1000)])
    kafka_to_kill.start()
    pipeline.wait_in_sync(watch, sync, timeout=90)
    assert [watch.stop(), sync.stop()] == [0, 0]
