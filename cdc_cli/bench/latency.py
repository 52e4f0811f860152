"""The latency at a steady rate: from MongoDB's acknowledgement (w: majority) to the row being visible in PostgreSQL.

Both services run in this process, like `cdc run`, and so do the writer and the viewer: one clock. The writer keeps to
its schedule whatever happens to earlier documents. At most a hundred documents a second are markers that are timed;
another connection asks every few milliseconds which of them it can see, which adds up to that interval.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cdc_cli.bench.documents import DocumentSize, document
from cdc_cli.bench.mongodb import MongoSite
from cdc_cli.bench.names import Run
from cdc_cli.bench.postgres import PostgresSite
from cdc_cli.bench.running import running
from cdc_cli.bench.verdict import LatencyLimit, latency_limit
from cdc_cli.clock import Clock
from cdc_cli.demo.probe import percentile
from cdc_cli.settings.models import Settings

_MARKERS = 100.0
"""A second, at most."""
_POLL = 0.004
_PACE = 0.002
_WARM_UP = 50
_PATIENCE = 15.0
"""Seconds without any arrival after which what is missing is called missing."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was asked for: documents a second, for so many seconds."""

    rate: float
    seconds: float
    size: DocumentSize


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds. `reached` is the rate that the writer kept, `missing` markers that have not arrived."""

    reached: float
    cpu: float
    times: tuple[float, ...]
    missing: int
    is_growing: bool
    limit: LatencyLimit

    def percentile(self, percent: float) -> float | None:
        return percentile(sorted(self.times), percent)


class _Markers:
    """Which markers are under way since when, and how long those took that have arrived."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: dict[str, float] = {}
        self.times: list[float] = []

    def sent(self, ids: list[str]) -> None:
        """Acknowledged right now."""
        with self._lock:
            self._sent |= dict.fromkeys(ids, self._clock.monotonic())

    def look(self, visible: Callable[[list[str]], list[str]]) -> None:
        """Ask for those under way, once."""
        with self._lock:
            wanted = list(self._sent)
        if wanted:
            found, now = visible(wanted), self._clock.monotonic()
            with self._lock:
                self.times += [now - self._sent.pop(id_) for id_ in found]

    @property
    def under_way(self) -> int:
        with self._lock:
            return len(self._sent)


class LatencyTest:
    """`mongo` is used by the writer's thread, `postgres` by the caller's."""

    def __init__(
        self, run: Run, mongo: MongoSite, postgres: PostgresSite, ended: threading.Event, clock: Clock
    ) -> None:
        self._run = run
        self._mongo = mongo
        self._postgres = postgres
        self._ended = ended
        self._clock = clock
        self._number = 0
        self._reached = 0.0
        self._errors: list[BaseException] = []

    def measure(self, settings: Settings, load: Load) -> Delays:
        """Blocks for `load.seconds` and some more. Raises CdcError, Stopped."""
        with running(settings, ["watch", "sync"], self._ended, self._clock) as stage:
            first = _Markers(self._clock)
            self._insert(_WARM_UP, load, 1, first)

            def has_arrived() -> bool:
                first.look(self._visible)
                return not first.under_way

            stage.until("the first document to arrive", has_arrived)
            markers, done = _Markers(self._clock), threading.Event()
            writer = threading.Thread(target=self._write, args=(load, markers, done), name="cdc-bench-writer")
            wall, cpu = self._clock.monotonic(), time.process_time()
            writer.start()

            def has_ended() -> bool:
                markers.look(self._visible)
                return done.is_set()

            try:
                stage.until("the writer", has_ended, lambda: self._number)
            finally:
                done.set()
                writer.join()
            if self._errors:
                raise self._errors[0]
            cores = (time.process_time() - cpu) / (self._clock.monotonic() - wall)
            self._settle(markers)
        return self._judge(markers, cores, settings.syncer.batch.max_wait)

    def _visible(self, ids: list[str]) -> list[str]:
        self._ended.wait(_POLL)
        return self._postgres.visible(self._run, self._run.latency, ids)

    def _insert(self, count: int, load: Load, every: int, markers: _Markers) -> None:
        numbers = range(self._number + 1, self._number + 1 + count)
        self._number += count
        documents = [{"_id": number, **document(number, load.size)} for number in numbers]
        self._mongo.insert(self._run.latency, documents)
        markers.sent([str(number) for number in numbers if number % every == 0])

    def _write(self, load: Load, markers: _Markers, done: threading.Event) -> None:
        every, begun, sent = max(1, round(load.rate / _MARKERS)), self._clock.monotonic(), 0
        try:
            while (passed := self._clock.monotonic() - begun) < load.seconds and not done.is_set():
                due = int(passed * load.rate) - sent
                if due > 0:
                    self._insert(due, load, every, markers)
                    sent += due
                done.wait(_PACE)
            self._reached = sent / (self._clock.monotonic() - begun)
        except BaseException as error:
            self._errors.append(error)
        finally:
            done.set()

    def _settle(self, markers: _Markers) -> None:
        left, since = markers.under_way, self._clock.monotonic()
        while markers.under_way and not self._ended.is_set():
            markers.look(self._visible)
            if markers.under_way != left:
                left, since = markers.under_way, self._clock.monotonic()
            elif self._clock.monotonic() - since > _PATIENCE:
                return

    def _judge(self, markers: _Markers, cores: float, max_wait: float) -> Delays:
        times, missing = markers.times, markers.under_way
        growing = is_growing(times)
        limit = latency_limit(percentile(sorted(times), 50) or 0.0, max_wait, bool(missing) or growing, cores)
        return Delays(self._reached, cores, tuple(times), missing, growing, limit)


def is_growing(times: list[float]) -> bool:
    """Whether the last quarter (in the order of arrival) took a second and twice as long as the first."""
    quarter = len(times) // 4
    if not quarter:
        return False
    first, last = sum(times[:quarter]) / quarter, sum(times[-quarter:]) / quarter
    return last > max(1.0, 2 * first)
