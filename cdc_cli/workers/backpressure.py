"""When to stop reading: what was consumed and is not applied yet is bounded, in events and in bytes.

A short standstill is waited for; in a long one the partitions are paused, and polling goes on without them, because
the group takes a member that does not poll for gone.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cdc_cli.clock import Clock
from cdc_cli.consume import Consumer, Partition
from cdc_cli.observe.counters import Counters
from cdc_cli.workers.lanes import MAX_BYTES, Lane

_PATIENCE = 1.0
"""Seconds that a full pipeline is waited for before partitions are paused: a pause throws fetched records away."""
_RESUME_AT = 0.7
_WRITERS = 8
"""More writers than these keep no server busier: 16 lanes are as fast as 8, and this way with little more memory."""
_POLL_RECORDS, _FIRST_POLL_RECORDS, _POLL_BYTES = 2000, 4, 4 << 20


@dataclass(frozen=True, slots=True)
class Buffer:
    """What may be consumed and not yet applied."""

    events: int
    size: int


class Backpressure:
    """The poll thread's object; anybody may ask how much is buffered.

    `poll_records`: how many records to ask for at once. Of large ones fewer, as the bounds are looked at between polls.
    """

    def __init__(
        self,
        consumer: Consumer,
        lanes: Sequence[Lane],
        buffer: Buffer,
        counters: Counters,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self.poll_records = _FIRST_POLL_RECORDS
        self.is_paused = False
        self._consumer = consumer
        self._lanes = lanes
        self._buffer = buffer
        self._counters = counters
        self._clock = clock
        self._stop = stop
        self._routed = self._routed_bytes = 0
        self._full_since: float | None = None

    @property
    def buffered(self) -> int:
        """Records consumed and not yet applied."""
        return self._routed - sum(lane.finished for lane in self._lanes)

    def routed(self, records: int, size: int) -> None:
        """What one poll brought has gone to the lanes: so many records, with so many bytes of values."""
        self._routed += records
        self._routed_bytes += size
        self.poll_records = max(1, min(_POLL_RECORDS, _POLL_BYTES * records // max(1, size)))

    def resume(self, partitions: Collection[Partition]) -> None:
        """Whatever was paused is read again."""
        self._consumer.resume(list(partitions))
        self.is_paused = False

    def breathe(self, partitions: Collection[Partition]) -> None:
        """Wait a little for room; when there is none for long, pause `partitions`."""
        if not self._is_full():
            self._full_since = None
        elif self._full_since is None:
            self._full_since = self._clock.monotonic()
        begun = self._clock.monotonic()
        while self._is_full() and not self.is_paused and not self._stop.wait(0.005):
            assert self._full_since is not None
            if self._clock.monotonic() - self._full_since > _PATIENCE:
                self._consumer.pause(list(partitions))
                self.is_paused = True
        if self._full_since is not None:
            self._counters.add_wait("sync_waited", "lanes", self._clock.monotonic() - begun)
        if self.is_paused and self._fill() < _RESUME_AT and not self._are_served():
            self.resume(partitions)

    def _is_full(self) -> bool:
        return self._fill() >= 1 or self._are_served()

    def _are_served(self) -> bool:
        """Every lane, or one for each of eight writers, has its next batch: what came behind it would have left the
        processor's caches before its turn.

        Or, of large documents, they have as much together, so that one at least is full: keys are not spread evenly.
        """
        bytes_of_all = len(self._lanes) * MAX_BYTES
        is_enough = sum(lane.waiting_bytes for lane in self._lanes) >= bytes_of_all
        return is_enough or sum([lane.is_full for lane in self._lanes]) >= min(_WRITERS, len(self._lanes))

    def _fill(self) -> float:
        size = self._routed_bytes - sum(lane.finished_bytes for lane in self._lanes)
        return max(self.buffered / self._buffer.events, size / self._buffer.size)
