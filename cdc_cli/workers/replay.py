"""The loop of `cdc replay`: read a fixed stretch of Kafka, map it, write it under the guard, bury what fails.

The same code as in `cdc sync` decodes, maps, guards and dead-letters. One thread and one batch at a time, since
a replay holds its targets alone while it writes (see `Fence`): an old insert never runs beside a newer delete.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeVar

from cdc_cli.apply import Applied, Applier, Change
from cdc_cli.brokers import TopicAdmin
from cdc_cli.clock import Clock
from cdc_cli.consume import Partition, RawRecord
from cdc_cli.consume.backlog import Backlog, How, LetterMemory, Place, Wanted, place_of
from cdc_cli.consume.dead_letters import Failed
from cdc_cli.consume.letters import Letter, again, read_letter
from cdc_cli.consume.ranges import Bounds, RangeReader
from cdc_cli.consume.selection import Selection
from cdc_cli.errors import CdcError, PoisonEvent, Retryable
from cdc_cli.observe.log import EventLog
from cdc_cli.retry import Backoff, RetryPolicy, Stopped
from cdc_cli.workers.services import Starter
from cdc_cli.workers.write import RecordMapper

_T = TypeVar("_T")
log = EventLog(__name__)

_POLL_SECONDS = 0.5
_SILENCE = 15.0
"""Seconds without a record after which the broker is asked whether it is there at all."""

Failure = tuple[Partition, RawRecord, CdcError]
Bury = Callable[[Sequence[Failure], int], None]
"""Takes the failed records of a batch, and how many the batch had; raises Stopped, Fatal."""


@dataclass(slots=True)
class Tally:
    """What became of the records that were read; all counts but `read` together are `read` (invariant I9).

    `filtered` were not asked for, `settled` are dead letters that were replayed or discarded before, `refused` those
    that have been replayed too often; `empty` carry nothing to write, `failed` could not be applied; the others as
    in `Applied`.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    stale: int = 0
    merged: int = 0
    ignored: int = 0
    empty: int = 0
    filtered: int = 0
    settled: int = 0
    refused: int = 0
    failed: int = 0

    def add(self, other: Tally) -> None:
        for counted in fields(self):
            setattr(self, counted.name, getattr(self, counted.name) + getattr(other, counted.name))

    @property
    def applied(self) -> int:
        """Rows that really changed."""
        return self.inserted + self.updated + self.deleted


class Handling(NamedTuple):
    """What kind of replay it is. `backlog`: dead letters that wait, and are settled by this.

    `are_letters`: the records are dead letters. With `max_replays`, one that was replayed so often is refused.
    `wanted` narrows the backlog.
    """

    backlog: bool = False
    are_letters: bool = False
    max_replays: int | None = None
    wanted: Wanted = Wanted()


class _Meant(NamedTuple):
    partition: Partition
    record: RawRecord


class Replayer:
    """One thread's object. `tally` and `positions` tell how far it got, also after an exception.

    Of a backlog `memory` keeps what is settled; other replays settle nothing.
    """

    def __init__(
        self,
        reader: RangeReader,
        mapper: RecordMapper,
        applier: Applier,
        bury: Bury,
        handling: Handling,
        selection: Selection,
        max_rows: int,
        policy: RetryPolicy,
        clock: Clock,
        stop: threading.Event,
        memory: LetterMemory,
    ) -> None:
        self.tally = Tally()
        self.positions: Mapping[Partition, int] = {}
        self._reader = reader
        self._mapper = mapper
        self._applier = applier
        self._bury = bury
        self._handling = handling
        self._selection = selection
        self._max_rows = max_rows
        self._policy = policy
        self._clock = clock
        self._stop = stop
        self._memory = memory
        self._backlog = Backlog({})
        self._ranges: Mapping[Partition, Bounds] = {}
        self._outcomes: dict[Place, How] = {}
        self._waiting: dict[Partition, int] = {}

    def run(
        self, ranges: Mapping[Partition, Bounds], on_batch: Callable[[], None], backlog: Backlog | None = None
    ) -> bool:
        """Replay these stretches; False when `stop` ended it between two batches. `backlog`: what is settled there.

        Raises Denied, ConfigError, PositionLost, Fatal (retries exhausted, too many failures, on_error: stop), and
        TryLater when the right to the dead letters went to another process.
        """
        self._ranges, self._backlog = ranges, backlog or Backlog({})
        reading = self._policy.backoff("reading from Kafka")
        writing = self._policy.backoff("writing to PostgreSQL")
        committing = self._policy.backoff("storing the offsets of the dead letters")
        self.positions = {partition: first for partition, (first, _) in ranges.items()}
        heard = self._clock.monotonic()
        try:
            self._patiently(reading, lambda: self._reader.open(ranges))
            while any(self.positions[p] < end for p, (_, end) in ranges.items()):
                found = self._patiently(reading, lambda: self._reader.poll(_POLL_SECONDS, self._max_rows))
                self._replay(found, writing)
                self._reached(self._reader.positions(), committing)
                on_batch()
                now = self._clock.monotonic()
                if found:
                    heard = now
                elif now - heard > _SILENCE:
                    self._patiently(reading, lambda: self._probe(ranges))
                    heard = now
            self._tell_group(ranges, committing)
        except Stopped:
            return False
        return True

    def _probe(self, ranges: Mapping[Partition, Bounds]) -> None:
        """Nothing comes, though there should be something: raises Retryable when the broker does not answer."""
        self._reader.offsets_at([next(iter(ranges))], 0)

    def _reached(self, positions: Mapping[Partition, int], backoff: Backoff) -> None:
        """Everything before these is applied or buried: only now the backlog may shrink (invariant I5)."""
        moved = {p: offset for p, offset in positions.items() if offset != self.positions.get(p)}
        if self._handling.backlog and self._outcomes:
            self._patiently(backoff, lambda: self._memory.settle(self._outcomes))
            self._outcomes = {}
        self.positions = {**self.positions, **moved}

    def _tell_group(self, ranges: Mapping[Partition, Bounds], backoff: Backoff) -> None:
        """For those who look at Kafka: the offsets stand before the first letter that waits."""
        behind = {p: self._waiting.get(p, end) for p, (_, end) in ranges.items()}
        if self._handling.backlog and behind:
            self._patiently(backoff, lambda: self._reader.commit(behind))

    def _replay(self, found: Mapping[Partition, Sequence[RawRecord]], backoff: Backoff) -> None:
        tally, failed, changes = Tally(), list[Failed](), list[Change]()
        self._outcomes = {}
        if found and self._handling.backlog:
            self._make_sure(backoff)
        for partition, records in found.items():
            for record in records:
                tally.read += 1
                meant = self._meant(partition, record, tally)
                if meant is not None:
                    self._map(meant, changes, failed, tally)
        applied = self._apply(changes, backoff)
        failed.extend(Failed(rejected.change.source, rejected.error) for rejected in applied.rejected)
        tally.failed = len(failed)
        if tally.read:
            self._bury([(*_source(failure), failure.error) for failure in failed], tally.read)
        for name in ("inserted", "updated", "deleted", "stale", "merged", "ignored"):
            setattr(tally, name, getattr(applied, name))
        self.tally.add(tally)

    def _make_sure(self, backoff: Backoff) -> None:
        """Nobody else settles letters now; what somebody settled while the right was lost is known."""
        if self._patiently(backoff, self._memory.hold):
            settled = self._patiently(backoff, lambda: self._memory.load(self._ranges))
            self._backlog = Backlog(settled)

    def _meant(self, partition: Partition, record: RawRecord, tally: Tally) -> _Meant | None:
        """The record to apply, None when it is not to be."""
        if self._handling.are_letters:
            return self._meant_letter(read_letter(partition, record), tally)
        if self._selection.takes(partition.topic, record.key):
            return _Meant(partition, record)
        tally.filtered += 1
        return None

    def _meant_letter(self, letter: Letter, tally: Tally) -> _Meant | None:
        partition, record = letter.partition, letter.record
        if not self._backlog.waits(letter):
            tally.settled += 1
            return None
        if not (self._selection.takes(letter.source, record.key) and self._handling.wanted.takes(letter)):
            self._waiting.setdefault(partition, record.offset)
            tally.filtered += 1
            return None
        limit = self._handling.max_replays
        if limit is None or letter.replay_count < limit:
            self._outcomes[place_of(partition, record)] = How.REPLAYED
            return _Meant(partition, again(letter))
        self._outcomes[place_of(partition, record)] = How.REFUSED
        tally.refused += 1
        log.warn(
            "replay.refused",
            "the dead letter at %s partition %d offset %d was replayed %d times: it is passed over",
            *partition,
            record.offset,
            letter.replay_count,
            code=letter.code,
        )
        return None

    def _map(self, meant: _Meant, changes: list[Change], failed: list[Failed], tally: Tally) -> None:
        try:
            change = self._mapper.map(meant.record.value, meant)
        except PoisonEvent as error:
            failed.append(Failed(meant, error))
            return
        if change is None:
            tally.empty += 1
        else:
            changes.append(change)

    def _apply(self, changes: Sequence[Change], backoff: Backoff) -> Applied:
        if not changes:
            return Applied()
        return self._patiently(backoff, lambda: self._applier.apply(changes, ()), even_if_stopped=True)

    def _patiently(self, backoff: Backoff, ask: Callable[[], _T], even_if_stopped: bool = False) -> _T:
        """As often as it takes; raises Stopped instead of trying or waiting any longer."""
        while even_if_stopped or not self._stop.is_set():
            try:
                answer = ask()
                backoff.succeeded()
                return answer
            except Retryable as error:
                if self._stop.wait(backoff.failed(error)):
                    raise Stopped(backoff.what) from error
        raise Stopped(backoff.what)


def only_tell(failed: Sequence[Failure], _seen: int) -> None:
    """A `Bury` for records that are dead letters already and stay where they are."""
    for partition, record, error in failed:
        log.warn(
            "replay.failed",
            "the dead letter at %s partition %d offset %d fails again: %s",
            *partition,
            record.offset,
            error.message,
            code=error.code,
        )


def _source(failure: Failed) -> _Meant:
    assert isinstance(failure.source, _Meant)
    return failure.source


@dataclass(frozen=True, slots=True)
class ReplayTools:
    """What the commands `replay` and `dlq` are made of. The reader is not started yet.

    `replayer` prepares PostgreSQL and the dead-letter topic first: it blocks, and raises CdcError.
    `retentions`: seconds per topic, for those topics whose records nothing but age removes. `memory` is not connected
    yet either: its methods are.
    """

    reader: RangeReader
    admin: TopicAdmin
    starter: Starter
    retentions: Callable[[Collection[str]], Mapping[str, float]]
    replayer: Callable[[Handling, Selection], Replayer]
    memory: LetterMemory
