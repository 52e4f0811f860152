"""One stage with a backlog: how fast it is, and what it waited for.

The backlog is complete before the clock starts. As soon as enough of it is read, the stage is stopped as by a SIGTERM,
so that the last batches are written at once; the clock stops when everything read is acknowledged or committed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from cdc_cli.bench.running import Running, running
from cdc_cli.bench.verdict import Limit, Shares, bottleneck, sync_shares, watch_shares
from cdc_cli.clock import Clock
from cdc_cli.settings.models import Settings

SPARE = 512
"""Changes that a backlog in MongoDB has beyond those waited for: watch counts in steps, and late at its end."""
WRITTEN = ("inserted", "updated", "deleted", "stale", "merged", "ignored")


@dataclass(frozen=True, slots=True)
class Drained:
    """A stage's figures: `work` is inserts, updates or stale; `cpu` in cores, `counts` what became of the events."""

    stage: str
    work: str
    events: int
    seconds: float
    cpu: float
    shares: Shares
    counts: dict[str, int]

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def limit(self) -> Limit:
        return bottleneck(self.shares)


class _Meter:
    """Wall time and CPU time of the whole process since it was made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._cpu = clock.monotonic(), time.process_time()

    @property
    def wall(self) -> float:
        return max(1e-9, self._clock.monotonic() - self._wall)

    @property
    def cpu(self) -> float:
        return time.process_time() - self._cpu


def drain_watch(settings: Settings, work: str, events: int, ended: threading.Event, clock: Clock) -> Drained:
    """MongoDB to Kafka: from the start of the loop to the acknowledgement of the last change that it read.

    Of a backlog of SPARE more at least `events` are read. Raises CdcError, Stopped.
    """
    with running(settings, ["watch"], ended, clock) as stage:
        meter = _Meter(clock)
        stage.until("changes to read", lambda: stage.count("read") >= events, lambda: stage.count("read"))
        waited, read_after, read = stage.seconds("watch_waited"), meter.wall, stage.count("read")
        stage.drain()
        _finish(stage, ("published",), read)
        wall, cpu = meter.wall, meter.cpu
    published = stage.count("published")
    shares = watch_shares(waited, wall - read_after, wall, cpu)
    return Drained("watch", work, published, wall, cpu / wall, shares, {"published": published})


def drain_sync(settings: Settings, work: str, events: int, ended: threading.Event, clock: Clock) -> Drained:
    """Kafka to PostgreSQL: from the assignment of the partitions to the last commit. Raises CdcError, Stopped."""
    with running(settings, ["sync"], ended, clock) as stage:
        stage.until("Kafka to assign partitions", lambda: stage.count("rebalances") > 0)
        meter, before = _Meter(clock), (stage.seconds("sync_waited"), stage.seconds("lane_busy"))
        stage.until("records to read", lambda: stage.count("consumed") >= events, lambda: stage.count("consumed"))
        stage.drain()
        _finish(stage, WRITTEN, events)
        wall, cpu = meter.wall, meter.cpu
        read, lanes = _since(before[0], stage.seconds("sync_waited")), _since(before[1], stage.seconds("lane_busy"))
    shares = sync_shares(read, lanes, settings.syncer.workers, wall, cpu)
    counts = {name: count for name in WRITTEN if (count := stage.count(name))}
    return Drained("sync", work, events, wall, cpu / wall, shares, counts)


def _finish(stage: Running, names: tuple[str, ...], events: int) -> None:
    stage.until("everything read to be written", lambda: stage.count(*names) >= events, lambda: stage.count(*names))


def _since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {label: seconds - before.get(label, 0.0) for label, seconds in now.items()}
