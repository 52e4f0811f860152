"""A lane's worker: takes batches, maps them, writes them, dead-letters what cannot be written, reports them done.

Order of things (invariant I5): PostgreSQL has committed, or Kafka has acknowledged the dead letter, before a
record counts as done.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import NamedTuple, Protocol, cast

from cdc_cli.apply import Applied, Applier, Change, Fenced, Version
from cdc_cli.clock import Clock
from cdc_cli.consume import RawRecord
from cdc_cli.consume.dead_letters import DeadLetters, Failed
from cdc_cli.consume.offsets import Assignment
from cdc_cli.errors import PoisonEvent, Retryable
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.log import EventLog
from cdc_cli.retry import Backoff, Stopped
from cdc_cli.workers.lanes import Lane, Run

log = EventLog(__name__)


class RecordMapper(Protocol):
    """A raw record's value as a change for the writer, None = nothing to write; raises PoisonEvent."""

    @property
    def adjusted(self) -> Counter[str]:
        """Values changed so far because PostgreSQL cannot hold them, by kind."""
        ...

    def map(self, value: bytes | None, source: object) -> Change | None: ...

    def version(self, value: bytes | None) -> Version | None:
        """Where a change stands, cheaply; None = only `map` tells. Never raises."""
        ...


class _Item(NamedTuple):
    """Where a failed record came from."""

    assignment: Assignment
    record: RawRecord


class _Mapped(NamedTuple):
    """The changes of a run, whose sources are its records."""

    assignment: Assignment
    changes: list[Change]


class LaneWorker:
    """Runs in a thread of its own until its lane is closed and drained."""

    def __init__(
        self,
        lane: Lane,
        mapper: RecordMapper,
        applier: Applier,
        dead_letters: DeadLetters,
        backoff: Backoff,
        counters: Counters,
        clock: Clock,
        abandon: threading.Event,
        fenced: Callable[[Fenced], None],
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._lane = lane
        self._mapper = mapper
        self._applier = applier
        self._dead_letters = dead_letters
        self._backoff = backoff
        self._counters = counters
        self._clock = clock
        self._abandon = abandon
        self._fenced = fenced
        self._asking = asking
        self._adjusted: Counter[str] = Counter()
        self._dropped = self._ignored = 0
        self._waited = 0.0

    @property
    def number(self) -> int:
        return self._lane.number

    def run(self) -> None:
        """Write until the lane ends. Raises what no retry mends: Denied, ConfigError, Fatal."""
        while batch := self._lane.take():
            try:
                self.write(batch)
            except Stopped:
                return
            self._lane.finish(batch)

    def write(self, batch: Sequence[Run]) -> None:
        """One batch, as often as it takes; raises Stopped when the deadline of the shutdown has passed."""
        started, self._waited = self._clock.monotonic(), 0.0
        with self._asking():
            left, left_out = self._without_stale(batch)
        mapped, failed = self._mapped(left)
        with self._asking():
            applied = self._apply(mapped, left_out)
        if applied.rejected:
            found = {id(change.source): assignment for assignment, changes in mapped for change in changes}
            for change, error in applied.rejected:
                record = cast(RawRecord, change.source)
                failed.append(Failed(_Item(found[id(record)], record), error))
        ours = [(_item(failure), failure.error) for failure in failed if not _item(failure).assignment.revoked]
        count = sum(len(run.records) for run in batch)
        self._dead_letters.bury(
            [(item.assignment.partition, item.record, error) for item, error in ours], count, self._abandon
        )
        self._counters.add("dropped", self._dropped + len(failed) - len(ours))
        self._counters.add("ignored", self._ignored)
        self._dropped = self._ignored = 0
        seconds = self._clock.monotonic() - started
        self._counters.add_wait("lane_busy", "postgresql", self._waited)
        self._counters.add_wait("lane_busy", "other", seconds - self._waited)
        self._report(count, applied, len(ours), seconds)

    def _without_stale(self, batch: Sequence[Run]) -> tuple[Sequence[Run], int]:
        """What is not known to be stale of a batch, when most are of late, and how many others there were."""
        if not self._applier.looks_ahead:
            return batch, 0
        versions = [self._mapper.version(record.value) for run in batch for record in run.records]
        begun, computed = self._clock.monotonic(), time.thread_time()
        try:
            fresh = self._applier.fresh(versions)
        except Retryable:
            return batch, 0  # apply() meets the same, and knows how to wait
        self._waited += self._clock.monotonic() - begun - (time.thread_time() - computed)
        return _picked(batch, fresh), len(versions) - len(fresh)

    def _mapped(self, batch: Sequence[Run]) -> tuple[list[_Mapped], list[Failed]]:
        mapped: list[_Mapped] = []
        failed: list[Failed] = []
        map_value = self._mapper.map
        for assignment, records, _ in batch:
            if assignment.revoked:
                self._dropped += len(records)
                continue
            changes: list[Change] = []
            for record in records:
                try:
                    change = map_value(record.value, record)
                except PoisonEvent as error:
                    failed.append(Failed(_Item(assignment, record), error))
                    continue
                if change is not None:
                    changes.append(change)
                else:
                    self._ignored += 1
            if changes:
                mapped.append(_Mapped(assignment, changes))
        return mapped, failed

    def _apply(self, mapped: Sequence[_Mapped], left_out: int) -> Applied:
        while mapped:
            partitions = {assignment.partition for assignment, _ in mapped}
            changes = list(chain.from_iterable([changes for _, changes in mapped]))
            # What this thread did not spend computing it has waited: for a turn, a connection, or SQL.
            begun, computed = self._clock.monotonic(), time.thread_time()
            try:
                applied = self._applier.apply(changes, partitions, left_out)
                self._waited += self._clock.monotonic() - begun - (time.thread_time() - computed)
                self._backoff.succeeded()
                return applied
            except Fenced as lost:
                self._fenced(lost)
                for assignment, _ in mapped:
                    if assignment.partition in lost.partitions:
                        assignment.revoked = True
            except Retryable as error:
                self._counters.add("retries", label=self._backoff.what)
                if self._abandon.wait(self._backoff.failed(error)):
                    raise Stopped("writing to PostgreSQL") from error
            self._dropped += sum(len(changes) for assignment, changes in mapped if assignment.revoked)
            mapped = [run for run in mapped if not run.assignment.revoked]
        return Applied(stale=left_out)

    def _report(self, events: int, applied: Applied, dead: int, seconds: float) -> None:
        counters = self._counters
        counters.add("inserted", applied.inserted)
        counters.add("updated", applied.updated)
        counters.add("deleted", applied.deleted)
        counters.add("stale", applied.stale)
        counters.add("merged", applied.merged)
        counters.add("ignored", applied.ignored)
        counters.add("dead_lettered", dead)
        counters.add("batches")
        adjusted = self._mapper.adjusted - self._adjusted
        self._adjusted = Counter(self._mapper.adjusted)
        for kind, count in adjusted.items():
            counters.add("adjusted", count, kind)
        log.info(
            "batch.applied",
            "%d events: %d inserted, %d updated, %d deleted, %d stale, %d merged, %d dead letters",
            events,
            applied.inserted,
            applied.updated,
            applied.deleted,
            applied.stale,
            applied.merged,
            dead,
            rows=applied.rows,
            duration=seconds,
            worker=self._lane.number,
            inserted=applied.inserted,
            updated=applied.updated,
            deleted=applied.deleted,
            stale=applied.stale,
            merged=applied.merged,
            dead_letters=dead,
            adjusted=dict(adjusted) or None,
        )


def _picked(batch: Sequence[Run], indexes: Sequence[int]) -> list[Run]:
    """The records with these indexes, which are in order."""
    picked: list[Run] = []
    at = done = 0
    for run in batch:
        begin, at = at, at + len(run.records)
        till = bisect_left(indexes, at, done)
        if till > done:
            picked.append(Run.of(run.assignment, [run.records[index - begin] for index in indexes[done:till]]))
        done = till
    return picked


def _item(failure: Failed) -> _Item:
    assert isinstance(failure.source, _Item)
    return failure.source
