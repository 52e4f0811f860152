"""Lanes: each one worker's ordered queue. A key always hashes to the same lane, so order per document holds.

The poll thread puts, the lane's worker takes batches: `max_rows` of them, or what is there when `max_wait` has
passed (requirements R5.1-R5.4, R6.1-R6.4); of large documents fewer, so that a batch and its copies on the way to
PostgreSQL stay small. Nothing is ever dropped for lack of room: the poll thread pauses.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from cdc_cli.clock import Clock
from cdc_cli.consume import RawRecord
from cdc_cli.consume.offsets import Assignment

_MAX_BYTES = 2 << 20
"""A batch ends with the event that reaches this; every lane may hold one several times over."""


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
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing = False

    def put(self, items: Sequence[Item]) -> int:
        """Append in order; never blocks. Returns their bytes."""
        size = size_of(items)
        with self._changed:
            self._queue.extend(items)
            self._queued_bytes += size
            self._changed.notify()
        return size

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
            while not self._is_full() and not self._closing:
                left = due - self._clock.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._pop()

    def finish(self, items: list[Item], size: int) -> None:
        """These are applied, dead-lettered or dropped with their partition: called by the lane's worker only."""
        counts: dict[Assignment, int] = {}
        for item in items:
            counts[item.assignment] = counts.get(item.assignment, 0) + 1
        for assignment, count in counts.items():
            assignment.done(self.number, count)
        self.finished += len(items)
        self.finished_bytes += size

    def _is_full(self) -> bool:
        return len(self._queue) >= self._max_rows or self._queued_bytes >= _MAX_BYTES

    def _pop(self) -> list[Item]:
        queue = self._queue
        items = [queue.popleft() for _ in range(min(len(queue), self._max_rows))]
        size = size_of(items)
        while size - (last := size_of(items[-1:])) >= _MAX_BYTES:
            queue.appendleft(items.pop())
            size -= last
        self._queued_bytes -= size
        return items

    @property
    def waiting(self) -> int:
        """Items in the queue now."""
        return len(self._queue)


def size_of(items: Sequence[Item]) -> int:
    """Bytes of the records' values."""
    return sum([len(item[1].value or b"") for item in items])
