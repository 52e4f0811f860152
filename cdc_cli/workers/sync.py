"""The loop of `cdc sync`: poll, route to lanes by key, and commit what the lanes have finished.

The poll thread owns the consumer. It never waits for PostgreSQL longer than the group allows: when the lanes
are full, partitions are paused and polling goes on. A committer thread stores offsets in PostgreSQL, after the
data they stand for; only then they are told to Kafka (invariant I5).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from cdc_cli import failpoints
from cdc_cli.apply import Fenced, Ledger, Rewound
from cdc_cli.clock import Clock
from cdc_cli.consume import Consumer, Partition, RawRecord, Rebalance
from cdc_cli.consume.offsets import Offsets
from cdc_cli.errors import Retryable, TryLater
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import POSTGRES, Health
from cdc_cli.observe.log import EventLog
from cdc_cli.retry import Backoff
from cdc_cli.workers.backpressure import Backpressure, Buffer
from cdc_cli.workers.lanes import Lane, Run
from cdc_cli.workers.start_offset import start_offset, tell_loss
from cdc_cli.workers.topic_watch import TopicIds, TopicWatch

_K = TypeVar("_K")
_T = TypeVar("_T")
log = EventLog(__name__)

_LOOP, _MEMBER = "sync", "reading from Kafka"
_BEATS_WITHIN = 120.0
"""Seconds: longer than any single call to a server that does not answer."""
_POLL_SECONDS, _POLL_SECONDS_PAUSED = 0.25, 0.05
_COMMIT_EVERY = 1.0
_BEGIN_AGAIN_AFTER = 15.0
"""Seconds that a fenced partition is left to whoever fenced us, unless the group says something first."""
_VERIFY_EVERY = 5.0
"""Seconds between two looks whether PostgreSQL still has what it had: on a quiet topic nothing else notices."""


class Syncer:
    """Runs in one thread until the stop event; another one calls `commit`. At the end `store`, then `leave`."""

    def __init__(
        self,
        consumer: Consumer,
        lanes: Sequence[Lane],
        offsets: Offsets,
        ledger: Ledger,
        topic_ids: TopicIds,
        backoff: Backoff,
        buffer: Buffer,
        counters: Counters,
        health: Health,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._consumer = consumer
        self._lanes = lanes
        self._offsets = offsets
        self._ledger = ledger
        self._topics = TopicWatch(topic_ids, clock)
        self._backoff = backoff
        self._pressure = Backpressure(consumer, lanes, buffer, counters, clock, stop)
        self._counters = counters
        self._health = health
        self._clock = clock
        self._stop = stop
        self._to_begin: set[Partition] = set()
        self._to_commit: dict[Partition, int] = {}
        self._begin_again: dict[Partition, float] = {}
        self._went_back: dict[Partition, int] = {}
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        self._verify_at = 0.0

    def run(self) -> None:
        """Consume until the stop event. Raises Denied, ConfigError, PositionLost, Fatal."""
        self._health.expect_beats(_LOOP, _BEATS_WITHIN)
        self._health.expect_check(_MEMBER)
        while not self._stop.is_set():
            self._health.beat(_LOOP)
            self._health.tell_silence()
            try:
                self._step()
                self._backoff.succeeded()
                self._health.report_check(_MEMBER, True)
            except Retryable as error:
                self._counters.add("retries", label=self._backoff.what)
                self._health.report_check(_MEMBER, False)
                self._stop.wait(self._backoff.failed(error))

    def commit(self, stop: threading.Event) -> None:
        """The committer's loop: store finished offsets in PostgreSQL once a second, until `stop`."""
        while not stop.wait(_COMMIT_EVERY):
            self.store()

    def store(self) -> None:
        """Store what is finished; what could not be stored now is stored the next time.

        Not beside a claim: the offsets must be those of partitions claimed where they are stored.
        """
        with self._claiming, self._health.asking(POSTGRES):
            self._store(self._offsets.committable())

    def _store(self, offsets: Mapping[Partition, int]) -> None:
        now = self._clock.monotonic()
        try:
            if now >= self._verify_at:
                self._verify_at = now + _VERIFY_EVERY
                self._ledger.verify(list(self._offsets.current))
            if offsets:
                failpoints.hit("offsets.before_store")
            self._ledger.store(offsets)
            if offsets:
                failpoints.hit("offsets.after_store")
        except Fenced as lost:
            self.fenced(lost)
            return
        except Retryable as error:
            log.warn("offsets.not_stored", "offsets could not be stored: %s", error.message, code=error.code)
            return
        self._offsets.stored(offsets)
        with self._lock:
            self._to_commit.update(offsets)

    def leave(self, seconds: float) -> None:
        """After the last `store`: tell Kafka the last offsets and leave the group within `seconds`."""
        try:
            self._tell_kafka()
        except Retryable as error:
            log.warn("offsets.not_committed", "Kafka was not told the last offsets: %s", error.message)
        self._consumer.close(seconds)

    def fenced(self, lost: Fenced) -> None:
        """These are not ours any more, in PostgreSQL: what is left of them here is dropped, and read again.

        Another process owns them, and usually the group tells the same soon. If it does not, the claim was the last
        act of a process that is gone, and the partitions are begun again here after a while: otherwise nobody would
        read them. When it is the database that changed, they are begun again at once.
        """
        with self._lock:
            ours = [partition for partition in lost.partitions if partition in self._offsets.current]
            if not ours:
                return
            wait = 0.0 if isinstance(lost, Rewound) else _BEGIN_AGAIN_AFTER
            self._went_back |= self._offsets.known(ours)
            self._offsets.revoke(ours)
            self._begin_again |= dict.fromkeys(ours, self._clock.monotonic() + wait)
        log.warn(lost.code, "%s", type(lost)(ours).message)

    @property
    def buffered(self) -> int:
        """Records consumed and not yet applied."""
        return self._pressure.buffered

    def _step(self) -> None:
        self._consumer.refresh()
        records = self._poll()
        change = self._consumer.rebalance()
        moved = change.revoked | change.assigned if change is not None else frozenset()
        # What was fetched before a partition changed hands is not where it goes on now.
        kept = {partition: some for partition, some in records.items() if partition not in moved}
        if change is not None:
            self._rebalance(change)
        # Nothing may fail between the poll and here: the driver's position has passed these records.
        if records:
            self._hand_over([share for partition, some in kept.items() for share in self._shares(partition, some)])
            failpoints.hit("sync.after_route")
        self._take_back()
        renewed = self._topics.renewed({partition.topic for partition in self._offsets.current})
        self._to_begin |= {partition for partition in self._offsets.current if partition.topic in renewed}
        if self._to_begin:
            self._begin()
        if not records and not self._offsets.current:
            self._stop.wait(0.05)
        self._tell_kafka()
        self._counters.set("buffered", self.buffered)
        self._pressure.breathe(self._offsets.current)

    def _poll(self) -> Mapping[Partition, Sequence[RawRecord]]:
        """What is there. The lanes having nothing to do meanwhile, it is Kafka that everybody waits for."""
        is_idle, begun = not self.buffered, self._clock.monotonic()
        seconds = _POLL_SECONDS_PAUSED if self._pressure.is_paused else _POLL_SECONDS
        records = self._consumer.poll(seconds, self._pressure.poll_records)
        if is_idle:
            self._counters.add_wait("sync_waited", "kafka", self._clock.monotonic() - begun)
        return records

    def _shares(self, partition: Partition, records: Sequence[RawRecord]) -> Iterator[tuple[Lane, Run]]:
        """Each lane's part of them, by key; from here on they hold the partition's offset back."""
        assignment = self._offsets.current.get(partition)
        if assignment is None or not records:
            return
        count = len(self._lanes)
        shares: list[list[RawRecord]] = [[] for _ in range(count)]
        for record in records:
            key = record.key
            shares[(hash(key) if key is not None else partition.number) % count].append(record)
        for number, share in enumerate(shares):
            assignment.pending[number].extend([record.offset for record in share])
        assignment.reached(records[-1].offset + 1)
        self._counters.add("consumed", len(records))
        for lane, share in zip(self._lanes, shares, strict=True):
            if share:
                yield lane, Run.of(assignment, share)

    def _hand_over(self, shares: Sequence[tuple[Lane, Run]]) -> None:
        self._pressure.routed(sum(len(run.records) for _, run in shares), sum(run.size for _, run in shares))
        for lane, run in shares:
            lane.put(run)

    def _rebalance(self, change: Rebalance) -> None:
        """Drop what was taken away; what was given waits to be begun."""
        self._counters.add("rebalances")
        self._offsets.revoke(change.revoked | change.assigned)
        self._to_begin = (self._to_begin - change.revoked) | change.assigned
        with self._lock:
            for partition in change.revoked | change.assigned:
                self._begin_again.pop(partition, None)
        if change.assigned:
            log.info(
                "partitions.assigned", "%d partitions assigned, %d revoked", len(change.assigned), len(change.revoked)
            )

    def _take_back(self) -> None:
        now = self._clock.monotonic()
        with self._lock:
            due = {partition for partition, at in self._begin_again.items() if at <= now}
            for partition in due:
                del self._begin_again[partition]
        self._to_begin |= due

    def _begin(self) -> None:
        """Go on with new partitions at the offset that PostgreSQL knows; what fails is begun in the next round."""
        partitions = sorted(self._to_begin)
        self._offsets.revoke(partitions)
        ids = self._patiently(lambda: self._topics.ids({partition.topic for partition in partitions}))
        stored = self._patiently(lambda: self._claim(partitions, ids))
        self._topics.begun(ids)
        failpoints.hit("sync.after_claim")
        bounds = self._patiently(lambda: self._consumer.bounds(partitions))
        committed = self._patiently(lambda: self._consumer.committed(partitions))
        for partition in partitions:
            if self._stop.is_set() or partition not in bounds:
                return
            known = stored.get(partition)
            with self._lock:
                before = max(self._went_back.pop(partition, 0), committed.get(partition, 0))
            if known is not None and known < before:
                self._counters.add("rewinds")
                tell_loss(partition, known, before)
            offset = start_offset(partition, known, committed.get(partition), bounds[partition])
            # Going back is stored at once: otherwise a run that ends where `known` is would never be told to Kafka.
            self._offsets.assign(partition, offset, known if known == offset else None)
            failpoints.hit("sync.before_seek")
            self._consumer.seek(partition, offset)
            self._to_begin.discard(partition)
            with self._lock:
                self._to_commit.pop(partition, None)
                if offset == known != committed.get(partition):
                    # A former owner did not get so far as to tell Kafka; on a quiet topic nobody else would.
                    self._to_commit[partition] = offset
        # Those that are begun again without a rebalance may be paused still.
        self._pressure.resume(self._offsets.current)

    def _claim(self, partitions: Collection[Partition], ids: Mapping[str, str]) -> Mapping[Partition, int]:
        with self._claiming:
            return self._ledger.claim(partitions, ids)

    def _patiently(self, ask: Callable[[], Mapping[_K, _T]]) -> Mapping[_K, _T]:
        while not self._stop.is_set():
            try:
                return ask()
            except Retryable as error:
                self._counters.add("retries", label=self._backoff.what)
                self._stop.wait(self._backoff.failed(error))
        return {}

    def _tell_kafka(self) -> None:
        with self._lock:
            offsets, self._to_commit = self._to_commit, {}
        current = {p: offset for p, offset in offsets.items() if p in self._offsets.current}
        if not current:
            return
        try:
            failpoints.hit("offsets.before_tell")
            self._consumer.commit(current)
            failpoints.hit("offsets.after_tell")
        except TryLater as moved_on:
            log.info("offsets.not_committed", "%s", moved_on.message)
        except Retryable:
            with self._lock:
                self._to_commit = {**current, **self._to_commit}
            raise
