"""PostgreSQL put back to an older state: sync goes on from the offsets inside it, or stops and says why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from cdc_cli.demo.servers import ApacheKafka, EmbeddedPostgres
from cdc_cli.demo.servers.process import wait_until
from tests.support.cdc_process import CdcProcess
from tests.support.fixtures import started
from tests.support.pipeline import Pipeline
from tests.support.rows import query
from tests.support.topics import Topics

DOCUMENTS = 300
POSITION_LOST = 80


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One of this test alone: it is stopped and its files are put back."""
    with started(EmbeddedPostgres(tmp_path_factory.mktemp("restored"))) as server:
        yield server


@pytest.fixture
def admin(kafka: ApacheKafka) -> Iterator[Any]:
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    yield client
    client.close()


def change(pipeline: Pipeline, first: int, count: int) -> None:
    """Inserts, and updates and deletes of documents that were there before."""
    players = pipeline.database["players"]
    players.insert_many([{"_id": number, "n": 0} for number in range(first, first + count)])
    if first:
        players.update_many({"_id": {"$lt": first, "$mod": [3, 0]}}, {"$inc": {"n": 1}})
        players.delete_many({"_id": {"$lt": first, "$mod": [3, 1]}})


def back_up(postgres: EmbeddedPostgres) -> Path:
    postgres.stop()
    copy = postgres.folder / "copy"
    shutil.copytree(postgres.folder / "data", copy)
    _like(postgres.folder / "data", copy)
    postgres.start()
    return copy


def restore(postgres: EmbeddedPostgres, copy: Path) -> None:
    postgres.stop()
    data = postgres.folder / "data"
    owner = data.stat()
    shutil.rmtree(data)
    copy.rename(data)
    assert data.stat().st_uid == owner.st_uid
    postgres.start()


def _like(original: Path, copy: Path) -> None:
    """The owner of the files; copytree keeps all but that."""
    for path in (copy, *copy.rglob("*")):
        info = (original / path.relative_to(copy)).lstat()
        shutil.chown(path, info.st_uid, info.st_gid)


def sync_and_stop(pipeline: Pipeline) -> None:
    process = pipeline.sync()
    pipeline.wait_in_sync(process)
    assert process.stop() == 0


def lost(process: CdcProcess) -> str:
    """The end of a sync that had to stop: exit 80, and what it says."""
    assert process.wait(timeout=60) == POSITION_LOST, process.tail()
    return process.text()


@pytest.mark.requirement("R4.5", "R5.4")
def test_a_database_restored_from_an_older_copy_catches_up_by_itself(
    pipeline: Pipeline, postgres: EmbeddedPostgres
) -> None:
    watch = pipeline.watch()
    change(pipeline, 0, DOCUMENTS)
    sync_and_stop(pipeline)
    copy = back_up(postgres)
    change(pipeline, DOCUMENTS, DOCUMENTS)
    sync_and_stop(pipeline)
    restore(postgres, copy)
    assert pipeline.differences("players")
    process = pipeline.sync()
    pipeline.wait_in_sync(watch, process)
    assert query(pipeline.dsn, "SELECT count(*) FROM public.players")[0][0] == DOCUMENTS * 2 - DOCUMENTS // 3
    assert process.stop() == 0


@pytest.mark.requirement("R4.5")
def test_a_restored_database_whose_records_are_gone_from_kafka_stops_and_says_the_way_out(
    pipeline: Pipeline, postgres: EmbeddedPostgres, kafka: ApacheKafka, admin: Any
) -> None:
    pipeline.watch()
    change(pipeline, 0, DOCUMENTS)
    sync_and_stop(pipeline)
    copy = back_up(postgres)
    change(pipeline, DOCUMENTS, DOCUMENTS)
    sync_and_stop(pipeline)
    with Topics(kafka.bootstrap) as topics:
        ends = topics.ends([pipeline.topic("players")])
    admin.delete_records({TopicPartition(*place): offset for place, offset in ends.items()})
    restore(postgres, copy)
    said = lost(pipeline.sync(ready=False))
    assert "offset.out_of_range" in said
    assert "cdc.offsets" in said


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_topic_deleted_and_made_anew_stops_sync_at_its_start(
    pipeline: Pipeline, kafka: ApacheKafka, admin: Any, client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch = pipeline.watch()
    change(pipeline, 0, DOCUMENTS)
    sync_and_stop(pipeline)
    assert watch.stop() == 0
    recreate(admin, kafka, pipeline)
    said = lost(pipeline.sync(ready=False))
    assert "topic.recreated" in said
    assert "When a position is lost" in said


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_topic_deleted_and_made_anew_stops_a_running_sync(
    pipeline: Pipeline, kafka: ApacheKafka, admin: Any, client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch = pipeline.watch()
    change(pipeline, 0, DOCUMENTS)
    process = pipeline.sync()
    pipeline.wait_in_sync(watch, process)
    stored = "SELECT sum(next_offset) FROM cdc.offsets"
    pipeline.wait_until(lambda: pipeline.query(stored)[0][0] == DOCUMENTS, "the offsets are stored")
    assert watch.stop() == 0
    recreate(admin, kafka, pipeline)
    said = lost(process)
    assert "topic.recreated" in said or "offset.out_of_range" in said


def recreate(admin: Any, kafka: ApacheKafka, pipeline: Pipeline) -> None:
    """The topic of `players`, empty."""
    topic = pipeline.topic("players")
    admin.delete_topics([topic])
    with Topics(kafka.bootstrap) as topics:
        assert wait_until(lambda: topic not in topics.names(), 20)
    admin.create_topics({topic: {"num_partitions": 3, "replication_factor": 1}})
