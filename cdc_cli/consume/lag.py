"""How far PostgreSQL is behind Kafka and behind MongoDB, per partition that this process reads.

Nobody is asked for it: where a partition ends is known from the last fetch, and the commit time of what waits stands
in the records themselves. Of each poll the first record is remembered, so that a time is at most a poll too early.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cdc_cli.clock import Clock
from cdc_cli.consume import Partition, RawRecord
from cdc_cli.consume.offsets import Offsets
from cdc_cli.envelope import decode
from cdc_cli.errors import PoisonEvent

_LOOK_EVERY = 1.0


class Lag(NamedTuple):
    """`records` are not committed yet, None = not known; `seconds` is how long ago the oldest of them was committed in
    MongoDB, 0 when there is none."""

    records: int | None
    seconds: float


class _Reading:
    """One partition since it was positioned: where reading stands, and the first records of the polls that wait."""

    __slots__ = ("behind_since", "end", "heads", "reached")

    def __init__(self, offset: int) -> None:
        self.reached = offset
        self.end: int | None = None
        self.heads: deque[RawRecord] = deque()
        self.behind_since: float | None = None


class LagMeter:
    """The poll thread tells what it sees; any thread may ask for `lags`."""

    def __init__(self, offsets: Offsets, clock: Clock) -> None:
        self._offsets = offsets
        self._clock = clock
        self._readings: dict[Partition, _Reading] = {}
        self._look_at = clock.monotonic()
        self._lock = threading.Lock()

    def positioned(self, partition: Partition, offset: int) -> None:
        """The partition is read from there."""
        with self._lock:
            self._readings[partition] = _Reading(offset)

    def polled(self, found: Mapping[Partition, Sequence[RawRecord]], end_of: Callable[[Partition], int | None]) -> None:
        """What a poll has brought; `end_of` tells the end of a partition as far as it is known, without blocking."""
        now = self._clock.monotonic()
        with self._lock:
            for partition, records in found.items():
                reading = self._readings.get(partition)
                if reading is not None and records:
                    reading.heads.append(records[0])
                    reading.reached = records[-1].offset + 1
            if now >= self._look_at:
                self._look_at = now + _LOOK_EVERY
                self._look(end_of, now)

    def lags(self) -> Mapping[Partition, Lag]:
        """Of every partition that is ours now and has been read from."""
        found = {}
        with self._lock:
            for partition, assignment in list(self._offsets.current.items()):
                reading = self._readings.get(partition)
                if reading is not None:
                    found[partition] = self._lag(reading, assignment.committable())
        return found

    def _look(self, end_of: Callable[[Partition], int | None], now: float) -> None:
        for partition, reading in list(self._readings.items()):
            assignment = self._offsets.current.get(partition)
            if assignment is None:
                del self._readings[partition]
                continue
            done, heads, end = assignment.committable(), reading.heads, end_of(partition)
            while heads and (heads[1].offset if len(heads) > 1 else reading.reached) <= done:
                heads.popleft()
            # A broker may name an end that lies before what was read from it: then how much is left is not known.
            reading.end = end if end is not None and end >= reading.reached else None
            if end is None or end <= reading.reached:
                reading.behind_since = None
            elif reading.behind_since is None:
                reading.behind_since = now

    def _lag(self, reading: _Reading, done: int) -> Lag:
        records = None if reading.end is None else max(0, max(reading.end, reading.reached) - done)
        if done < reading.reached:
            return Lag(records, self._age(reading, done))
        since = reading.behind_since
        return Lag(records, 0.0 if since is None or records == 0 else max(0.0, self._clock.monotonic() - since))

    def _age(self, reading: _Reading, done: int) -> float:
        """Since the oldest change that waits was committed; a record that is none of ours has Kafka's time only."""
        oldest: RawRecord | None = None
        for record in reading.heads:
            if oldest is not None and record.offset > done:
                break
            oldest = record
        if oldest is None:
            return 0.0
        try:
            moment = decode(oldest.value).time_ms
        except PoisonEvent:
            moment = oldest.timestamp
        return max(0.0, self._clock.time() - moment / 1000)
