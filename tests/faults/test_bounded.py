"""A server that does not answer at full load: memory, threads and descriptors stay under caps and come back (I7),
SIGTERM is honoured meanwhile (I8), and nothing is missing in the end.

CDC_TEST_BLACKHOLE_SECONDS=60 stops each server for a minute.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from cdc_cli.demo.servers.process import wait_until
from tests.faults.longrun.fleet import resources
from tests.faults.longrun.site import DRAIN_SECONDS, LINKS, NAME, Site
from tests.support.cdc_process import CdcProcess
from tests.support.pipeline import Pipeline
from tests.support.rows import query

SECONDS = float(os.environ.get("CDC_TEST_BLACKHOLE_SECONDS", "10"))
CAPS = {"rss": 300 * 1024, "threads": 40, "fds": 120}
BACK = {"threads": 6, "fds": 15}
"""How much more than before there may be when all is well again; memory is kept by the allocator."""
IN_FLIGHT = 5000
_BATCH, _PER_SECOND = 200, 3000


class Flood:
    """Inserts as fast as `_PER_SECOND` allows, past the proxies, while inside."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        with MongoClient[dict[str, Any]](self._uri) as client:
            players = client[NAME]["players"]
            due = time.monotonic()
            while not self._stop.is_set():
                players.insert_many([{"n": n, "text": "x" * 400} for n in range(_BATCH)])
                due = max(due + _BATCH / _PER_SECOND, time.monotonic() - 1)
                self._stop.wait(max(0.0, due - time.monotonic()))


class Peaks:
    """The most that each process uses while it is watched."""

    def __init__(self, *processes: CdcProcess) -> None:
        self._processes = processes

    def watch(self, seconds: float) -> list[dict[str, int]]:
        peaks: list[dict[str, int]] = [{} for _ in self._processes]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for process, found in zip(self._processes, peaks, strict=True):
                assert process.exit_code is None, f"{process} ended with {process.exit_code}\n{process.tail(8)}"
                for what, amount in resources(process.pid).items():
                    found[what] = max(found.get(what, 0), amount)
            time.sleep(0.2)
        return peaks


@pytest.fixture
def pipeline(shared_site: Site, tmp_path: Path) -> Iterator[Pipeline]:
    config = shared_site.config("kafka-python")
    config["watcher"]["max_in_flight"] = {"events": IN_FLIGHT}
    config["syncer"]["max_buffered"] = {"events": IN_FLIGHT}
    made = Pipeline(NAME, tmp_path, shared_site.database, shared_site.dsn, config)
    yield made
    shared_site.heal()
    made.close()


def rows(site: Site) -> int:
    if query(site.dsn, "SELECT to_regclass('public.players')") == [(None,)]:
        return 0
    found: int = query(site.dsn, "SELECT count(*) FROM public.players")[0][0]
    return found


def assert_drains(site: Site, processes: Sequence[CdcProcess]) -> None:
    """Every document gets its row; every document is only inserted, so counting is enough."""
    documents = site.database["players"].count_documents({})
    if not wait_until(lambda: rows(site) == documents, 90 + 2 * SECONDS):
        logs = "\n".join(f"{process}\n{process.tail(8)}" for process in processes)
        raise AssertionError(f"{rows(site)} rows of {documents} documents\n{logs}")


@pytest.mark.requirement("R5.3")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("link", LINKS)
def test_a_silent_server_costs_no_more_than_the_bounds(shared_site: Site, pipeline: Pipeline, link: str) -> None:
    site, proxy = shared_site, shared_site.proxies[link]
    processes = [pipeline.watch(), pipeline.sync()]
    peaks, already = Peaks(*processes), rows(site)
    with Flood(site.mongo.uri):
        assert wait_until(lambda: rows(site) > already, 30)
        before = peaks.watch(4.0)
        proxy.blackhole()
        during = peaks.watch(SECONDS)
        proxy.heal()
    assert_drains(site, processes)
    after = peaks.watch(3.0)
    for process, normal, worst, now in zip(processes, before, during, after, strict=True):
        print(f"{link} silent for {SECONDS:g} s, {process.args[0]}: {normal} -> {worst} -> {now}")
        assert not {what: worst[what] for what, cap in CAPS.items() if worst[what] > cap}, process.tail(8)
        assert not {what: now[what] for what, more in BACK.items() if now[what] > normal[what] + more}
    assert [process.stop() for process in processes] == [0, 0]


@pytest.mark.requirement("R9.1", "R9.3", "R9.4")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("link", LINKS)
def test_a_signal_ends_the_process_in_time_while_a_server_is_silent(
    shared_site: Site, pipeline: Pipeline, link: str
) -> None:
    site, proxy = shared_site, shared_site.proxies[link]
    processes = [pipeline.watch(), pipeline.sync()]
    already = rows(site)
    with Flood(site.mongo.uri):
        assert wait_until(lambda: rows(site) > already, 30)
        proxy.blackhole()
        time.sleep(2.0)
        began = time.monotonic()
        for process in processes:
            process.send(signal.SIGTERM)
        codes = [process.wait(timeout=DRAIN_SECONDS + 10) for process in processes]
        took = time.monotonic() - began
    proxy.heal()
    print(f"SIGTERM with {link} silent: {took:.1f} s, exit codes {codes}")
    assert took < DRAIN_SECONDS + 5
    assert set(codes) <= {0, 69}, "\n".join(process.tail(5) for process in processes)
    again = [pipeline.watch(), pipeline.sync()]
    assert_drains(site, again)
    assert [process.stop() for process in again] == [0, 0]
