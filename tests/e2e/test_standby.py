"""Two watchers on one stream: one leads, the other takes over, and no change is lost or blindly repeated."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedValkey
from tests.support.cdc_process import CdcProcess
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics
from tests.support.witness import Witness, assert_log_is_complete_and_in_order
from tests.support.workload import COLLECTIONS, HOT, Workload

ALL = (*COLLECTIONS, HOT, "marker")
LEASE = 4.0
START = 6.0
"""Seconds for what a start does besides waiting for the lease, on a busy machine."""


@pytest.fixture
def workload(mongo: EmbeddedMongo, pipeline: Pipeline) -> Iterator[Workload]:
    made = Workload(mongo.uri, pipeline.database.name, 600, 1, writers=2)
    yield made
    made.close()


def use_redis(pipeline: Pipeline, valkey: EmbeddedValkey, prefix: str) -> None:
    pipeline.set("token_store.backend", "redis")
    pipeline.set("token_store.redis", {"url": valkey.url, "key_prefix": prefix, "lease": f"{LEASE:g}s"})


def two_watchers(pipeline: Pipeline) -> tuple[CdcProcess, CdcProcess]:
    leader = pipeline.watch("--standby")
    standby = pipeline.watch("--standby", ready=False)
    standby.wait_for("watch.standing_by")
    return leader, standby


def assert_nothing_lost(pipeline: Pipeline, kafka: ApacheKafka, witness: Witness, *processes: CdcProcess) -> int:
    """How many records were sent again."""
    changes = witness.changes()
    pipeline.wait_in_sync(*processes)
    with Topics(kafka.bootstrap) as topics:
        records: list[Any] = topics.read([pipeline.topic(name) for name in ALL])
    assert_log_is_complete_and_in_order(changes, records)
    return len(records) - len(changes)


@pytest.mark.requirement("R2.1", "R8.5")
def test_the_standby_takes_over_within_the_lease_when_the_leader_is_killed(
    pipeline: Pipeline, workload: Workload, kafka: ApacheKafka, valkey: EmbeddedValkey, redis_prefix: str
) -> None:
    use_redis(pipeline, valkey, redis_prefix)
    witness = Witness(pipeline.database)
    leader, standby = two_watchers(pipeline)
    sync = pipeline.sync()
    workload.start()
    workload.wait(0.3)
    leader.kill()
    killed = time.monotonic()
    workload.allow(0.9)
    standby.wait_for("watch.started", timeout=60)
    took = time.monotonic() - killed
    workload.finish()
    repeated = assert_nothing_lost(pipeline, kafka, witness, standby, sync)
    print(f"took over {took:.1f} s after the kill; {repeated} records sent again")
    assert took < LEASE + START
    assert standby.stop() == 0


@pytest.mark.requirement("R2.1", "R8.5")
def test_a_leader_that_slept_through_its_lease_ends_and_moves_nothing_back(
    pipeline: Pipeline, workload: Workload, kafka: ApacheKafka, valkey: EmbeddedValkey, redis_prefix: str
) -> None:
    use_redis(pipeline, valkey, redis_prefix)
    witness = Witness(pipeline.database)
    leader, standby = two_watchers(pipeline)
    sync = pipeline.sync()
    workload.start()
    workload.wait(0.3)
    leader.send(signal.SIGSTOP)
    workload.allow(0.7)
    standby.wait_for("watch.started", timeout=60)
    workload.wait(0.7)
    leader.send(signal.SIGCONT)
    assert leader.wait() == 75
    assert "another watcher" in leader.text()
    workload.finish()
    assert_nothing_lost(pipeline, kafka, witness, standby, sync)
    assert standby.stop() == 0


@pytest.mark.requirement("R2.1")
def test_on_one_host_the_lock_of_the_token_file_decides_who_leads(
    pipeline: Pipeline, workload: Workload, kafka: ApacheKafka
) -> None:
    witness = Witness(pipeline.database)
    leader, standby = two_watchers(pipeline)
    sync = pipeline.sync()
    workload.start()
    workload.wait(0.4)
    leader.kill()
    workload.allow(1.0)
    standby.wait_for("watch.started", timeout=30)
    workload.finish()
    assert_nothing_lost(pipeline, kafka, witness, standby, sync)
    assert standby.stop() == 0
