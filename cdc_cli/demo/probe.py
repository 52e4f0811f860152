"""The latency as a user would see it: marker documents through the whole pipeline.

One thread inserts a marker at a steady rate, whatever happens to those before it; a slow answer must not lower the
number of questions. Another asks PostgreSQL every few milliseconds which of them it can see. The time runs from
MongoDB's acknowledgement (w: majority) until the row is visible to another connection, on one clock; the polling
adds up to its interval.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cdc_cli.clock import Clock
from cdc_cli.demo.words import PROBES
from cdc_cli.demo.writers import Tally
from cdc_cli.events import Operation

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from pymongo.collection import Collection

_INTERVAL = 0.05
_POLL = 0.005
_VISIBLE = f"SELECT _id FROM public.{PROBES} WHERE _id = ANY (%s)"
_EXISTS = "SELECT to_regclass(%s) IS NOT NULL"


class Latency(NamedTuple):
    """Seconds; None when nothing was measured."""

    samples: int
    p50: float | None
    p99: float | None
    max: float | None


class Probe:
    """`postgres` must be in autocommit mode and belong to the probe alone."""

    def __init__(
        self, markers: Collection[dict[str, Any]], postgres: Connection, tally: Tally, clock: Clock
    ) -> None:
        self._markers = markers
        self._postgres = postgres
        self._tally = tally
        self._clock = clock
        self._sent = 0
        self._under_way: dict[str, float] = {}
        self._times: list[float] = []
        self._lock = threading.Lock()
        self._is_enough, self._is_over = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=name)
            for name, work in (("demo-probe", self._send), ("demo-probe-watch", self._look))
        ]

    def send_first(self) -> None:
        """Insert the marker that shows that the pipeline runs; it is not measured. Blocks for MongoDB."""
        self._insert()

    def has_first_arrived(self) -> bool:
        """Whether its row is there. Blocks for PostgreSQL."""
        with self._postgres.cursor() as cursor:
            cursor.execute(_EXISTS, (f"public.{PROBES}",))
            if cursor.fetchone() != (True,):
                return False
            cursor.execute(_VISIBLE, (["1"],))
            return cursor.fetchone() is not None

    def start(self) -> None:
        """Measure from now on."""
        for thread in self._threads:
            thread.start()

    def enough(self) -> None:
        """Insert no more; go on looking for those under way."""
        self._is_enough.set()
        self._join(self._threads[0])

    def end(self) -> None:
        """Stop looking, too. Harmless at any time."""
        self._is_enough.set()
        self._is_over.set()
        for thread in self._threads:
            self._join(thread)

    def check(self) -> None:
        """Raises the error that ended one of the threads."""
        if self._error is not None:
            raise self._error

    @property
    def sent(self) -> int:
        return self._sent

    @property
    def under_way(self) -> int:
        """Markers in MongoDB that PostgreSQL does not show yet."""
        with self._lock:
            return len(self._under_way)

    @property
    def lag(self) -> float:
        """How far PostgreSQL is behind now, in seconds: the last time measured, or the longer wait that goes on."""
        with self._lock:
            last = self._times[-1] if self._times else 0.0
            oldest = min(self._under_way.values(), default=None)
        return last if oldest is None else max(last, self._clock.monotonic() - oldest)

    def latency(self) -> Latency:
        """Of all markers that have arrived."""
        with self._lock:
            times = sorted(self._times)
        return Latency(len(times), percentile(times, 50), percentile(times, 99), times[-1] if times else None)

    def _insert(self) -> int:
        self._sent += 1
        self._markers.insert_one({"_id": self._sent, "sent": self._clock.time()})
        self._tally.add([Operation.INSERT])
        return self._sent

    def _send(self) -> None:
        due = self._clock.monotonic()
        while not self._is_enough.wait(max(0.0, due - self._clock.monotonic())):
            number = self._insert()
            with self._lock:
                self._under_way[str(number)] = self._clock.monotonic()
            due += _INTERVAL

    def _look(self) -> None:
        while not self._is_over.wait(_POLL):
            with self._lock:
                wanted = list(self._under_way)
            if not wanted:
                continue
            with self._postgres.cursor() as cursor:
                cursor.execute(_VISIBLE, (wanted,))
                found = [id_ for (id_,) in cursor.fetchall()]
            now = self._clock.monotonic()
            with self._lock:
                self._times += [now - self._under_way.pop(id_) for id_ in found]

    def _guard(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:
            self._error = self._error or error

    @staticmethod
    def _join(thread: threading.Thread) -> None:
        if thread.ident is not None:
            thread.join()


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The nearest rank: a value that was really measured. None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
