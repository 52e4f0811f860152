"""Lanes: each one worker's ordered queue. A key always hashes to the same lane, so order per document holds.

The poll thread puts, the lane's worker takes batches: `max_rows` of them, or what is there when `max_wait` has
passed (requirements R5.1-R5.4, R6.1-R6.4). Nothing is ever dropped for lack of room: the poll thread pauses.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from cdc_cli.clock import Clock
from cdc_cli.consume import RawRecord
from cdc_cli.consume.offsets import Assignment


class Item(NamedTuple):
    """A record on its way to a lane, with the assignment under which it was read."""

    assignment: Assignment
    record: RawRecord


class Lane:
    """A bounded-by-agreement queue between the poll thread and one worker."""

    def __init__(self, number: int, max_rows: int, max_wait: float, clock: Clock) -> None:
        self.number = number
        self.finished = 0
        self.finished_bytes = 0
        self._max_rows = max_rows
        self._max_wait = max_wait
        self._clock = clock
        self._queue: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closing = False

    def put(self, items: Iterable[Item]) -> None:
        """Append in order; never blocks."""
        with self._changed:
            self._queue.extend(items)
            self._changed.notify()

    def close(self) -> None:
        """No more will be put: what is there is taken at once, then `take` returns nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def take(self) -> list[Item]:
        """The next batch; blocks until it is full, old enough, or the lane closes. Empty = closed and drained."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            due = self._clock.monotonic() + self._max_wait
            while len(self._queue) < self._max_rows and not self._closing:
                left = due - self._clock.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            queue = self._queue
            return [queue.popleft() for _ in range(min(len(queue), self._max_rows))]

    def finish(self, items: list[Item], size: int) -> None:
        """These are applied, dead-lettered or dropped with their partition: called by the lane's worker only."""
        counts: dict[Assignment, int] = {}
        for item in items:
            counts[item.assignment] = counts.get(item.assignment, 0) + 1
        for assignment, count in counts.items():
            assignment.done(self.number, count)
        self.finished += len(items)
        self.finished_bytes += size

    @property
    def waiting(self) -> int:
        """Items in the queue now."""
        return len(self._queue)
