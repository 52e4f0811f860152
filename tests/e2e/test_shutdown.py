"""SIGINT and SIGTERM: in every state the process drains, says so, and is gone in time; nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedPostgres, EmbeddedValkey
from cdc_cli.demo.servers.process import wait_until
from tests.support.cdc_process import CdcProcess
from tests.support.pipeline import Pipeline
from tests.support.proxy import Proxy
from tests.support.rows import connection

DEADLINE = 5
"""Seconds: `shutdown_timeout` of all configurations here."""
LATEST = DEADLINE + 5
"""Seconds: by then the process is gone, whatever hangs."""
SIGNALS = [signal.SIGTERM, signal.SIGINT]
EVENTS = 300


class Doors:
    """Every server behind a proxy, so that each can be taken away."""

    def __init__(self, proxies: dict[str, Proxy], pipeline: Pipeline) -> None:
        self.proxies = proxies
        self._pipeline = pipeline
        self._locks = ExitStack()

    def take_away(self, server: str, how: str) -> None:
        if how == "locked":
            opened = self._locks.enter_context(connection(self._pipeline.dsn))
            opened.autocommit = False
            opened.cursor().execute("LOCK TABLE public.players IN ACCESS EXCLUSIVE MODE")
        elif how == "down":
            self.proxies[server].refuse()
            self.proxies[server].reset()
        else:
            self.proxies[server].blackhole()

    def give_back(self) -> None:
        self._locks.close()
        for proxy in self.proxies.values():
            proxy.heal()
            proxy.reset()


@pytest.fixture
def doors(
    pipeline: Pipeline, mongo: EmbeddedMongo, kafka_proxy: Proxy, postgres: EmbeddedPostgres,
    valkey: EmbeddedValkey, redis_prefix: str, proxied: Callable[[int], Proxy],
) -> Iterator[Doors]:
    """The pipeline reaches its servers through these, and has little time to stop."""
    proxies = {
        "mongodb": proxied(mongo.port), "kafka": kafka_proxy,
        "postgresql": proxied(postgres.port), "redis": proxied(valkey.port),
    }  # fmt: skip
    pipeline.set("mongodb.uri", mongo.direct_uri(proxies["mongodb"].port))
    pipeline.set("kafka.bootstrap_servers", [kafka_proxy.address])
    pipeline.set("postgres.dsn", postgres.dsn_for(pipeline.name, proxies["postgresql"].port))
    url = f"redis://{proxies['redis'].address}/0"
    pipeline.set("token_store.redis", {"url": url, "key_prefix": redis_prefix, "lease": "2s"})
    pipeline.set("watcher.shutdown_timeout", f"{DEADLINE}s")
    pipeline.set("syncer.shutdown_timeout", f"{DEADLINE}s")
    made = Doors(proxies, pipeline)
    yield made
    made.give_back()


def _write(pipeline: Pipeline, first: int, count: int = EVENTS) -> None:
    pipeline.database["players"].insert_many([{"_id": n, "text": "x" * 200} for n in range(first, first + count)])


def _assert_drained(process: CdcProcess, number: int) -> None:
    """Gone in time with 0, and it says so in its last words (R9.5)."""
    assert process.stop(number, timeout=LATEST) == 0, process.tail()
    ended = process.logged("shutdown.completed")
    assert [line["event.outcome"] for line in ended] == ["success"], process.tail()
    assert process.logged("shutdown.requested")


def _assert_nothing_lost(pipeline: Pipeline) -> None:
    pipeline.wait_in_sync(pipeline.start("run"), timeout=60)


@contextmanager
def _writing(pipeline: Pipeline) -> Iterator[None]:
    """While inside, documents are inserted all the time."""
    import threading

    done = threading.Event()

    def write() -> None:
        number = 1_000_000
        while not done.is_set():
            _write(pipeline, number, 100)
            number += 100

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


@pytest.mark.requirement("R9.1", "R9.2", "R9.4", "R9.5")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_idle_processes_end_at_once_with_a_confirmation(pipeline: Pipeline, number: signal.Signals) -> None:
    processes = pipeline.watch(), pipeline.sync()
    _write(pipeline, 0, 10)
    pipeline.wait_in_sync(*processes)
    for process in processes:
        _assert_drained(process, number)
    assert processes[0].logged("watch.stopped")
    assert processes[1].logged("sync.stopped")
    token = pipeline.token()
    assert token is not None and token["position"] is not None


@pytest.mark.requirement("R9.1", "R9.2", "R9.3", "R9.4", "R9.5")
@pytest.mark.parametrize(("number", "client"), [(SIGNALS[0], "kafka-python"), (SIGNALS[1], "confluent")])
def test_under_load_everything_buffered_is_flushed_and_the_token_saved(
    pipeline: Pipeline, number: signal.Signals, client: str
) -> None:
    pipeline.set("kafka.client", client)
    pipeline.set("syncer.batch.max_wait", "5s")
    watch, sync = pipeline.watch(), pipeline.sync()
    with _writing(pipeline):
        sync.wait_for("batch.applied", count=3)
        for process in (watch, sync):
            _assert_drained(process, number)
    (offsets,) = pipeline.query("SELECT sum(next_offset) FROM cdc.offsets")[0]
    (rows,) = pipeline.query("SELECT count(*) FROM public.players")[0]
    assert offsets == rows, "what was consumed is written, and what was written is committed"
    _assert_nothing_lost(pipeline)


WATCH_TROUBLES = [
    ("mongodb", "down", "kafka-python"), ("mongodb", "blackholed", "kafka-python"),
    ("kafka", "down", "kafka-python"), ("kafka", "blackholed", "kafka-python"),
    ("kafka", "down", "confluent"), ("kafka", "blackholed", "confluent"),
    ("redis", "down", "kafka-python"), ("redis", "blackholed", "kafka-python"),
]  # fmt: skip


@pytest.mark.requirement("R9.1", "R9.4", "R9.5", "R12.4", "R1.4", "R3.4", "R2.4")
@pytest.mark.parametrize(("server", "how", "client"), WATCH_TROUBLES)
def test_watch_ends_in_time_without_its_servers(
    pipeline: Pipeline, doors: Doors, server: str, how: str, client: str
) -> None:
    pipeline.set("kafka.client", client)
    if server == "redis":
        pipeline.set("token_store.backend", "redis")
    watch = pipeline.watch()
    _write(pipeline, 0)
    watch.wait_until(lambda: doors.proxies["kafka"].transferred("up") > EVENTS * 200, "sent to Kafka")
    doors.take_away(server, how)
    _write(pipeline, EVENTS)
    if how == "down" and server != "kafka":
        watch.wait_for("retry", timeout=20)
    _assert_drained(watch, SIGNALS[len(how) % 2])
    doors.give_back()
    _assert_nothing_lost(pipeline)


SYNC_TROUBLES = [
    ("postgresql", "down", "kafka-python"), ("postgresql", "blackholed", "kafka-python"),
    ("postgresql", "locked", "kafka-python"), ("kafka", "down", "kafka-python"),
    ("kafka", "blackholed", "kafka-python"), ("kafka", "down", "confluent"), ("kafka", "blackholed", "confluent"),
]  # fmt: skip


@pytest.mark.requirement("R9.2", "R9.3", "R9.5", "R12.4")
@pytest.mark.parametrize(("server", "how", "client"), SYNC_TROUBLES)
def test_sync_ends_in_time_without_its_servers(
    pipeline: Pipeline, doors: Doors, kafka: ApacheKafka, server: str, how: str, client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch = pipeline.watch(changes={"kafka.bootstrap_servers": [kafka.bootstrap]})
    _write(pipeline, 0)
    sync = pipeline.sync()
    pipeline.wait_in_sync(watch, sync)
    doors.take_away(server, how)
    _write(pipeline, EVENTS)
    if how == "locked":
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        pipeline.wait_until(lambda: bool(pipeline.query(waiting, pipeline.name)), "sync waits for the lock")
    elif (server, how) == ("postgresql", "down"):
        sync.wait_for("retry", timeout=20)
    assert sync.exit_code is None
    _assert_drained(sync, SIGNALS[len(server) % 2])
    assert watch.stop() == 0
    doors.give_back()
    _assert_nothing_lost(pipeline)


@pytest.mark.requirement("R9.1", "R9.2")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_process_at_once(
    pipeline: Pipeline, doors: Doors, number: signal.Signals, code: int
) -> None:
    pipeline.set("syncer.shutdown_timeout", "60s")
    watch, sync = pipeline.watch(), pipeline.sync()
    _write(pipeline, 0)
    pipeline.wait_in_sync(watch, sync)
    doors.take_away("postgresql", "locked")
    _write(pipeline, EVENTS)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    pipeline.wait_until(lambda: bool(pipeline.query(waiting, pipeline.name)), "sync waits for the lock")
    sync.send(number)
    sync.wait_for("shutdown.requested")
    assert sync.stop(number, timeout=5) == code
    assert not sync.logged("shutdown.completed")
    doors.give_back()
    assert watch.stop() == 0
    _assert_nothing_lost(pipeline)


@pytest.mark.requirement("R9.1", "R9.5")
def test_a_signal_during_the_start_ends_it_cleanly(pipeline: Pipeline, doors: Doors) -> None:
    doors.take_away("mongodb", "blackholed")
    seen: dict[str, Any] = {}
    watch = pipeline.watch(ready=False)
    watch.wait_until(lambda: doors.proxies["mongodb"].connections > 0, "it connects")
    seen["code"] = watch.stop(signal.SIGTERM, timeout=LATEST)
    assert seen["code"] == 0, watch.tail()
    assert wait_until(lambda: bool(watch.logged("shutdown.completed")), 1), watch.tail()
