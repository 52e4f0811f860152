"""`cdc replay` and `cdc dlq` as processes, on a real broker and a real PostgreSQL."""

from __future__ import annotations

import datetime
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cdc_cli.demo.servers import ApacheKafka
from cdc_cli.demo.servers.process import wait_until
from tests.support.cdc_process import CdcProcess, Ended
from tests.support.journal import Journal
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics

Journals = Callable[..., Journal]
HOUR_MS = 3_600_000


@pytest.fixture
def topics(kafka: ApacheKafka) -> Iterator[Topics]:
    with Topics(kafka.bootstrap) as opened:
        yield opened


@pytest.fixture
def journal(kafka: ApacheKafka, pipeline: Pipeline) -> Iterator[Journals]:
    """Makes the topic of a collection (`players`), to write to it by hand."""
    made: list[Journal] = []

    def make(collection: str = "players", partitions: int = 2) -> Journal:
        made.append(Journal(kafka.bootstrap, pipeline.topic(collection), partitions))
        return made[-1]

    yield make
    for one in made:
        one.close()


def envelope(done: Ended) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def replayed(pipeline: Pipeline, *args: str, code: int = 0) -> dict[str, Any]:
    """Execute, and return the summary."""
    done = pipeline.run("replay", *args, "--execute", "-o", "json")
    assert done.code == code, done.stderr
    summary: dict[str, Any] = envelope(done)["summary"]
    counted = "inserted updated deleted stale merged ignored empty filtered refused failed".split()
    assert summary["read"] == sum(summary[name] for name in counted)
    return summary


def iso(ms: int) -> str:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).isoformat()


def live_offsets(pipeline: Pipeline, topics: Topics) -> tuple[Any, Any]:
    """Where `cdc sync` stands, in Kafka and in PostgreSQL."""
    stored = pipeline.query("SELECT topic, partition, next_offset, owner FROM cdc.offsets ORDER BY 1, 2")
    return topics.committed(pipeline.group), stored


def fill(pipeline: Pipeline, count: int = 60) -> None:
    """Inserts, updates and deletes in MongoDB."""
    players = pipeline.database.players
    players.insert_many([{"_id": number, "level": 1} for number in range(count)])
    players.update_many({"_id": {"$lt": count // 2}}, {"$inc": {"level": 1}})
    players.delete_many({"_id": {"$gte": count - 5}})


@pytest.mark.requirement("R8.5")
def test_rows_deleted_by_hand_come_back_and_replaying_twice_leaves_the_same_state(
    pipeline: Pipeline, topics: Topics
) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    fill(pipeline)
    pipeline.wait_in_sync(watch, sync)
    assert sync.stop() == 0
    before = live_offsets(pipeline, topics)
    pipeline.query("DELETE FROM players WHERE _id IN ('3', '4', '50')")

    plan = pipeline.run("replay", "--all", "-o", "json")
    assert plan.code == 0
    assert envelope(plan)["summary"] == {"executed": False, "records": 95, "covered": True}
    assert envelope(plan)["result"]["tables"] == ["public.players"]
    assert len(pipeline.differences()) == 3, "a plan changes nothing"

    first = replayed(pipeline, "--all")
    assert (first["inserted"], first["updated"], first["deleted"], first["failed"]) == (3, 0, 0, 0)
    assert pipeline.differences() == []
    rows = pipeline.query("SELECT * FROM players ORDER BY _id")
    second = replayed(pipeline, "--all")
    assert second["applied"] == 0
    assert pipeline.query("SELECT * FROM players ORDER BY _id") == rows
    assert live_offsets(pipeline, topics) == before
