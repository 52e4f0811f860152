"""The main promise: processes are killed at random under load, and every row equals its document in the end."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedValkey
from tests.support.cdc_process import CdcProcess
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics
from tests.support.witness import (
    AtSyncKill,
    AtWatchKill,
    Witness,
    assert_log_is_complete_and_in_order,
    assert_offsets_are_not_ahead,
    assert_token_is_not_ahead,
    at_sync_kill,
)
from tests.support.workload import COLLECTIONS, HOT, Workload

DOCUMENTS = int(os.environ.get("CDC_TEST_DOCUMENTS", "6000"))
SEED = int(os.environ.get("CDC_TEST_SEED", str(random.SystemRandom().randrange(10**6))))
KILLS = 10
ALL = (*COLLECTIONS, HOT, "marker")
COMBINATIONS = [("file", "kafka-python"), ("redis", "confluent"), ("file", "confluent"), ("redis", "kafka-python")]


@pytest.fixture
def workload(mongo: EmbeddedMongo, pipeline: Pipeline) -> Iterator[Workload]:
    made = Workload(mongo.uri, pipeline.database.name, DOCUMENTS, SEED)
    yield made
    made.close()


class Chaos:
    """Kills one process after another, and takes down at once what it left behind."""

    def __init__(self, pipeline: Pipeline, topics: Topics, position: Callable[[], str | None]) -> None:
        self._pipeline = pipeline
        self._topics = topics
        self._position = position
        self._processes = {name: self._start(name) for name in ("watch", "sync 1", "sync 2")}
        self.watch_kills: list[AtWatchKill] = []
        self.sync_kills: list[AtSyncKill] = []

    @property
    def processes(self) -> list[CdcProcess]:
        return list(self._processes.values())

    def kill(self, name: str) -> None:
        process = self._processes[name]
        assert process.exit_code is None, f"{process} ended by itself\n{process.tail()}"
        process.kill()
        if name == "watch":
            self.watch_kills.append(AtWatchKill(self._position(), self._topics.ends(self._names())))
            return
        committed = self._topics.committed(self._pipeline.group)
        self.sync_kills.append(at_sync_kill(self._pipeline.dsn, self._pipeline.group, committed, ALL))

    def restart(self, name: str, wait: bool) -> None:
        self._processes[name] = self._start(name, wait)

    def _start(self, name: str, wait: bool = True) -> CdcProcess:
        command = name.split()[0]
        return self._pipeline.start(command, ready=wait)

    def _names(self) -> list[str]:
        return [self._pipeline.topic(collection) for collection in ALL]


@pytest.mark.requirement(
    "R1.1", "R2.1", "R2.2", "R2.5", "R3.1", "R3.3", "R4.2", "R4.5", "R5.4", "R6.5", "R8.1", "R8.2", "R8.5"
)
@pytest.mark.parametrize(("store", "client"), COMBINATIONS)
@pytest.mark.timeout(1800)
def test_nothing_is_lost_when_processes_are_killed_at_random_under_load(
    pipeline: Pipeline, workload: Workload, kafka: ApacheKafka, valkey: EmbeddedValkey, redis_prefix: str,
    store: str, client: str,
) -> None:
    if os.environ.get("CI") == "true" and (store, client) not in COMBINATIONS[:2]:
        pytest.skip("CI runs two of the four combinations")
    print(f"CDC_TEST_SEED={SEED} CDC_TEST_DOCUMENTS={DOCUMENTS}")
    rng = random.Random(f"{SEED}/chaos")
    pipeline.set("kafka.client", client)
    pipeline.set("kafka.consumer.session_timeout", "3s")
    pipeline.set("syncer.workers", 4)
    pipeline.set("token_store.backend", store)
    pipeline.set("token_store.redis", {"url": valkey.url, "key_prefix": redis_prefix})
    position = _position_in_redis(valkey.url, redis_prefix) if store == "redis" else _position_in_file(pipeline)

    with Topics(kafka.bootstrap) as topics:
        chaos = Chaos(pipeline, topics, position)
        witness = Witness(pipeline.database)
        workload.start()
        _storm(chaos, workload, rng)
        workload.finish()
        changes = witness.changes()
        pipeline.wait_in_sync(*chaos.processes, timeout=120 + DOCUMENTS / 500)
        assert [process.stop() for process in chaos.processes] == [0, 0, 0]

        records = topics.read([pipeline.topic(collection) for collection in ALL])
        assert topics.read([pipeline.dead_letter_topic]) == []
    assert not pipeline.differences()
    _show(changes, records, chaos, pipeline)
    assert_log_is_complete_and_in_order(changes, records)
    for watch_kill in chaos.watch_kills:
        assert_token_is_not_ahead(watch_kill, changes, records)
    for sync_kill in chaos.sync_kills:
        assert_offsets_are_not_ahead(sync_kill, records)
    assert position() == changes[-1].position


def _storm(chaos: Chaos, workload: Workload, rng: random.Random) -> None:
    """The kills, spread over the writing; some hit a process that has only just begun to start."""
    for number in range(KILLS):
        workload.allow((number + 1) / (KILLS + 1))
        time.sleep(rng.uniform(0.05, 1.5))
        victim = rng.choice(["watch", "watch", "sync 1", "sync 2"])
        chaos.kill(victim)
        time.sleep(rng.choice([0.0, 0.0, rng.random()]))
        chaos.restart(victim, wait=rng.random() < 0.7)
        workload.wait(number / (KILLS + 1))


def _position_in_file(pipeline: Pipeline) -> Callable[[], str | None]:
    def position() -> str | None:
        token = pipeline.token()
        return token["position"] if token is not None else None

    return position


def _position_in_redis(url: str, prefix: str) -> Callable[[], str | None]:
    def position() -> str | None:
        with redis.Redis.from_url(url) as client:
            record: Any = client.hget(f"{prefix}token", "record")
        return json.loads(record)["record"]["position"] if record else None

    return position


def _show(changes: list[Any], records: list[Any], chaos: Chaos, pipeline: Pipeline) -> None:
    repeated = len(records) - len(changes)
    rows = sum(len(pipeline.rows(name)) for name in ALL)
    kills = f"{len(chaos.watch_kills)} of watch, {len(chaos.sync_kills)} of sync"
    print(f"{len(changes)} changes, {repeated} sent again, {rows} rows, kills: {kills}; lost 0")
