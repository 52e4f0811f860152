"""Bugs of `cdc sync`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from cdc_cli.apply import merge
from cdc_cli.apply.claims import Claims
from cdc_cli.apply.records import EnvelopeMapper
from cdc_cli.consume.dead_letters import DeadLetters
from cdc_cli.consume.offsets import Assignment
from cdc_cli.errors import Retryable
from cdc_cli.retry import Stopped
from cdc_cli.workers import backpressure, sync
from cdc_cli.workers.sync import Syncer
from cdc_cli.workers.write import LaneWorker


@contextmanager
def polled_offsets_committed() -> Iterator[None]:
    """What was polled is committed, applied or not: auto-commit, or commit() without arguments."""
    with patch.object(Assignment, "committable", lambda self: self._position):
        yield


@contextmanager
def offset_before_apply() -> Iterator[None]:
    """A batch counts as done when it is taken, and is written then."""

    def mutant(self: Any) -> None:
        while batch := self._lane.take():
            self._lane.finish(batch)
            try:
                self.write(batch)
            except Stopped:
                return

    with patch.object(LaneWorker, "run", mutant):
        yield


@contextmanager
def versions_of_the_record_before() -> Iterator[None]:
    """The look ahead asks for each record with the version of the one before it: fresh ones are left out as stale."""
    tell = EnvelopeMapper.version
    last: dict[int, Any] = {}

    def mutant(self: EnvelopeMapper, value: bytes | None) -> Any:
        before, last[id(self)] = last.get(id(self)), tell(self, value)
        return before

    with patch.object(EnvelopeMapper, "version", mutant):
        yield


@contextmanager
def last_done_committed() -> Iterator[None]:
    """The highest finished offset is committed, not that of the contiguous prefix."""
    done = Assignment.done
    highest: dict[int, int] = {}

    def noting(self: Any, lane: int, count: int) -> None:
        taken = list(self.pending[lane])[:count]
        done(self, lane, count)
        if taken:
            highest[id(self)] = max(highest.get(id(self), 0), taken[-1] + 1)

    def mutant(self: Any) -> int:
        return highest.get(id(self), 0) if any(self.pending) and id(self) in highest else self._position

    with patch.object(Assignment, "done", noting), patch.object(Assignment, "committable", mutant):
        yield


@contextmanager
def batch_dropped_on_one_bad_row() -> Iterator[None]:
    """One record that cannot be mapped takes the rest of its batch with it."""

    mapped = LaneWorker._mapped

    def mutant(self: Any, batch: Any) -> Any:
        found, failed = mapped(self, batch)
        if failed:
            order = {id(record): n for n, record in enumerate(r for run in batch for r in run.records)}
            first = order[id(failed[0].source.record)]
            found = [run._replace(changes=[c for c in run.changes if order[id(c.source)] < first]) for run in found]
        return found, failed[:1]

    with patch.object(LaneWorker, "_mapped", mutant):
        yield


@contextmanager
def bad_record_skipped() -> Iterator[None]:
    """A record that cannot be written is logged and passed over, without a dead letter."""
    with patch.object(DeadLetters, "bury", lambda self, failed, seen, abandon: None):
        yield


@contextmanager
def dead_letter_not_awaited() -> Iterator[None]:
    """A dead letter counts as kept as soon as it was sent."""
    with patch.object(DeadLetters, "_is_done", lambda self, delivery: True):
        yield


@contextmanager
def failed_write_passed_over() -> Iterator[None]:
    """A batch that fails once is given up, as a handler that only logs does."""
    apply = LaneWorker._apply

    def mutant(self: Any, changes: Any) -> Any:
        with patch.object(self._abandon, "wait", lambda seconds: True, create=True):
            try:
                return apply(self, changes)
            except Stopped:
                return sync_nothing()

    with patch.object(LaneWorker, "_apply", mutant):
        yield


def sync_nothing() -> Any:
    """What an empty batch returns."""
    from cdc_cli.apply import Applied

    return Applied()


@contextmanager
def text_of_id_as_row() -> Iterator[None]:
    """Rows are told apart by the text of `_id` alone."""
    map_value = EnvelopeMapper.map

    def mutant(self: Any, value: Any, source: Any) -> Any:
        change = map_value(self, value, source)
        return change and change._replace(id_type="string")

    with patch.object(EnvelopeMapper, "map", mutant):
        yield


@contextmanager
def kafka_offset_trusted() -> Iterator[None]:
    """A partition goes on at the group's offset in Kafka, not at the one beside the rows."""

    def mutant(partition: Any, stored: Any, committed: Any, bounds: Any) -> int:
        return int(committed if committed is not None else stored if stored is not None else bounds[0])

    with patch.object(sync, "start_offset", mutant):
        yield


@contextmanager
def start_at_the_end() -> Iterator[None]:
    """A partition without an offset is read from its end: auto_offset_reset latest."""
    start = sync.start_offset

    def mutant(partition: Any, stored: Any, committed: Any, bounds: Any) -> int:
        return int(bounds[1]) if stored is None else start(partition, stored, committed, bounds)

    with patch.object(sync, "start_offset", mutant):
        yield


@contextmanager
def oldest_of_a_batch_wins() -> Iterator[None]:
    """Of several changes of a document in one batch the first is written."""

    def mutant(place: Any, found: Any, newest: Any) -> Any:
        by_position = {change.position: change for change in found}
        winner, *rest = (by_position[position] for position in sorted(by_position))
        newest[place] = winner
        return rest

    with patch.object(merge, "_settle", mutant):
        yield


@contextmanager
def never_resumed() -> Iterator[None]:
    """Partitions that were paused for lack of room stay paused."""
    with patch.object(backpressure, "_RESUME_AT", -1.0):
        yield


@contextmanager
def stale_records_routed() -> Iterator[None]:
    """What was fetched before a partition changed hands is routed into its new assignment. (Was in the program.)"""

    def mutant(self: Any) -> None:
        records = self._consumer.poll(self._poll_seconds(), 2000)
        change = self._consumer.rebalance()
        if change is not None:
            self._rebalance(change)
        if self._to_begin:
            self._begin()
        for partition, some in records.items():
            self._route(partition, some)
        self._tell_kafka()
        self._breathe()

    with patch.object(Syncer, "_step", mutant):
        yield


@contextmanager
def untold_offsets_forgotten() -> Iterator[None]:
    """Offsets that Kafka could not be told are not told again. (This was in the program.)"""

    def mutant(self: Any) -> None:
        offsets, self._to_commit = self._to_commit, {}
        current = {p: offset for p, offset in offsets.items() if p in self._offsets.current}
        if current:
            try:
                self._consumer.commit(current)
            except Retryable:
                raise
            except Exception:
                return

    with patch.object(Syncer, "_tell_kafka", mutant):
        yield


@contextmanager
def owner_not_claimed() -> Iterator[None]:
    """Half of a rebalance: what is taken away stays, as without a listener."""

    def mutant(self: Any, change: Any) -> None:
        self._to_begin = set(change.assigned) - set(self._offsets.current)

    with patch.object(Syncer, "_rebalance", mutant):
        yield


@contextmanager
def claim_good_anywhere() -> Iterator[None]:
    """Batches and offsets are written to whatever server answers. (This was in the program.)"""
    with patch.object(Claims, "check", lambda self, server, partitions: None):
        yield


@contextmanager
def quiet_database_not_watched() -> Iterator[None]:
    """A database that goes back is noticed by the next write only."""
    with patch.object(sync, "_VERIFY_EVERY", 1e9):
        yield


@contextmanager
def paused_when_begun_again() -> Iterator[None]:
    """Partitions that are begun again without a rebalance stay paused. (This was in the program.)"""
    begin = Syncer._begin

    def mutant(self: Any) -> None:
        with patch.object(self._consumer, "resume", lambda partitions: None):
            begin(self)

    with patch.object(Syncer, "_begin", mutant):
        yield
