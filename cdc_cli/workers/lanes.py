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

MAX_BYTES = 3 << 19
"""A batch ends with the event that reaches this; every lane may hold one several times over."""


class Run(NamedTuple):
    """Records of one partition on their way to a lane, in offset order: handed over together, as each by itself
    would cost more than reading it. With the assignment under which they were read, and the bytes of their values.
    """

    assignment: Assignment
    records: Sequence[RawRecord]
    size: int

    @classmethod
    def of(cls, assignment: Assignment, records: Sequence[RawRecord]) -> Run:
        return cls(assignment, records, sum([len(record.value or b"") for record in records]))


class Lane:
    """A bounded-by-agreement queue between the poll thread and one worker."""

    def __init__(self, number: int, max_rows: int, max_wait: float, clock: Clock) -> None:
        self.number = number
        self._max_rows = max_rows
        self.finished = 0
        self.finished_bytes = 0
        self.waiting = 0
        self.waiting_bytes = 0
        """Records in the queue now, and the bytes of their values."""
        self._max_wait = max_wait
        self._clock = clock
        self._queue: deque[Run] = deque()
        self._changed = threading.Condition()
        self._closing = False

    def put(self, run: Run) -> None:
        """Append in order; never blocks."""
        with self._changed:
            self._queue.append(run)
            self.waiting += len(run.records)
            self.waiting_bytes += run.size
            self._changed.notify()

    def close(self) -> None:
        """No more will be put: what is there is taken at once, then `take` returns nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def take(self) -> list[Run]:
        """The next batch; blocks until it is full, old enough, or the lane closes. Empty = closed and drained."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            due = self._clock.monotonic() + self._max_wait
            while not self.is_full and not self._closing:
                left = due - self._clock.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._pop()

    def finish(self, batch: Sequence[Run]) -> None:
        """These are applied, dead-lettered or dropped with their partition: called by the lane's worker only."""
        for run in batch:
            run.assignment.done(self.number, len(run.records))
            self.finished += len(run.records)
            self.finished_bytes += run.size

    @property
    def is_full(self) -> bool:
        """A whole batch waits."""
        return self.waiting >= self._max_rows or self.waiting_bytes >= MAX_BYTES

    def _pop(self) -> list[Run]:
        batch: list[Run] = []
        rows, size = self._max_rows, MAX_BYTES
        while self._queue and rows > 0 and size > 0:
            run = self._queue.popleft()
            if len(run.records) > rows or run.size > size:
                run, rest = _split(run, rows, size)
                if rest.records:
                    self._queue.appendleft(rest)
            batch.append(run)
            rows -= len(run.records)
            size -= run.size
        self.waiting -= self._max_rows - rows
        self.waiting_bytes -= MAX_BYTES - size
        return batch


def _split(run: Run, rows: int, size: int) -> tuple[Run, Run]:
    """Up to `rows` records, and of these up to the one that reaches `size`, and what is left."""
    end = 0
    for record in run.records[:rows]:
        if size <= 0:
            break
        size -= len(record.value or b"")
        end += 1
    return Run.of(run.assignment, run.records[:end]), Run.of(run.assignment, run.records[end:])
