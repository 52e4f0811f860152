"""A lane's worker on the real mapper and a fake writer: what it applies, dead-letters, drops and retries."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from cdc_cli.apply import Applied, Change, Fenced, Rejected, Version
from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.records import EnvelopeMapper
from cdc_cli.clock import SystemClock
from cdc_cli.consume import Partition
from cdc_cli.consume.offsets import Assignment
from cdc_cli.errors import PoisonEvent, Retryable
from cdc_cli.observe.counters import Counters
from cdc_cli.retry import RetryPolicy, Stopped
from cdc_cli.settings.models import RetrySettings
from cdc_cli.workers.lanes import Lane, Run
from cdc_cli.workers.write import LaneWorker, _picked
from tests.unit.workers.test_lanes import FakeRecord

P = Partition("cdc.game.players", 0)


class FakeApplier:
    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.batches: list[list[Change]] = []
        self.reject: set[bytes] = set()
        self.looks_ahead = False
        self.versions: list[Version | None] = []
        self.stale: set[bytes] = set()

    def fresh(self, versions: Sequence[Version | None]) -> Sequence[int]:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.versions = list(versions)
        return [index for index, version in enumerate(versions) if version is None or version.id not in self.stale]

    def apply(self, changes: Sequence[Change], partitions: Collection[Partition], left_out: int = 0) -> Applied:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.batches.append(list(changes))
        refused = [Rejected(c, PoisonEvent("no", code="22P02")) for c in changes if c.id in self.reject]
        return Applied(inserted=len(changes) - len(refused), rejected=refused, stale=left_out)


class FakeDeadLetters:
    def __init__(self) -> None:
        self.buried: list[int] = []
        self.partitions: list[Partition] = []

    def bury(self, failed: Any, seen: int, abandon: threading.Event) -> None:
        self.buried += [record.offset for _, record, _ in failed]
        self.partitions += [partition for partition, _, _ in failed]


def envelope(offset: int, name: str) -> FakeRecord:
    text = f'{{"v":1,"op":"insert","ns":"game.players","pos":"{offset:010d}.0000000001.0000000000","ts":1,"id":"{name}"'
    return FakeRecord(offset, name.encode(), (text + ',"doc":{"_id":"' + name + '"}}').encode())


class Site:
    def __init__(self, applier: FakeApplier) -> None:
        retry = RetrySettings.model_validate({"initial": "10ms", "max_delay": "10ms"})
        self.lane = Lane(0, 100, 0.0, SystemClock())
        self.assignment = Assignment(P, 0, 1)
        self.letters = FakeDeadLetters()
        self.counters = Counters()
        self.abandon = threading.Event()
        self.fenced: list[Fenced] = []
        self.worker = LaneWorker(
            self.lane,
            EnvelopeMapper(Mapper()),
            applier,
            self.letters,  # type: ignore[arg-type]
            RetryPolicy(retry, SystemClock()).backoff("writing"),
            self.counters,
            SystemClock(),
            self.abandon,
            self.fenced.append,
        )

    def feed(self, *records: FakeRecord) -> None:
        for record in records:
            self.assignment.pending[0].append(record.offset)
            self.assignment.reached(record.offset + 1)
        self.lane.put(Run.of(self.assignment, records))

    def take(self) -> None:
        batch = self.lane.take()
        self.worker.write(batch)
        self.lane.finish(batch)

    def run(self) -> None:
        self.lane.close()
        self.worker.run()


@pytest.mark.requirement("R6.4", "R5.4")
def test_a_worker_takes_batch_after_batch_until_the_lane_is_drained() -> None:
    applier = FakeApplier()
    site = Site(applier)
    site.feed(*(envelope(n, f"p{n}") for n in range(250)))
    site.run()
    assert [len(batch) for batch in applier.batches] == [100, 100, 50]
    assert site.assignment.committable() == 250


def test_the_time_that_the_writer_waits_and_does_not_compute_is_counted_as_postgresqls() -> None:
    class SlowApplier(FakeApplier):
        def apply(self, changes: Sequence[Change], partitions: Collection[Partition], left_out: int = 0) -> Applied:
            threading.Event().wait(0.05)
            return super().apply(changes, partitions, left_out)

    site = Site(SlowApplier())
    site.feed(envelope(0, "p0"))
    site.run()
    waited = site.counters.snapshot()
    assert waited["lane_busy.postgresql"] >= 40_000
    assert 0 < waited["lane_busy.other"] == waited["lane_busy"] - waited["lane_busy.postgresql"]


@pytest.mark.requirement("R4.4")
def test_what_is_no_envelope_and_what_the_database_refuses_is_dead_lettered_and_the_rest_written() -> None:
    applier = FakeApplier()
    applier.reject = {b"p2"}
    site = Site(applier)
    site.feed(envelope(0, "p0"), FakeRecord(1, b"k", b"{bad"), envelope(2, "p2"), FakeRecord(3, b"k", None))
    site.run()
    assert sorted(site.letters.buried) == [1, 2, 3]
    assert site.counters.get("inserted") == 1
    assert site.assignment.committable() == 4


@pytest.mark.requirement("R12.1")
def test_a_passing_failure_is_retried_with_the_same_batch_before_the_offset_moves() -> None:
    applier = FakeApplier(Retryable("deadlock"), Retryable("connection lost"))
    site = Site(applier)
    site.feed(envelope(0, "p0"))
    site.run()
    assert [[c.id for c in batch] for batch in applier.batches] == [[b"p0"]]
    assert site.assignment.committable() == 1


def test_changes_of_a_partition_that_another_process_owns_are_dropped_and_not_committed_by_us() -> None:
    applier = FakeApplier(Fenced([P]))
    site = Site(applier)
    site.feed(envelope(0, "p0"))
    site.run()
    assert applier.batches == []
    assert [lost.partitions for lost in site.fenced] == [{P}]
    assert site.assignment.revoked


def test_what_another_process_owns_is_dropped_and_the_rest_of_the_batch_is_written() -> None:
    applier = FakeApplier(Fenced([P]))
    site = Site(applier)
    other = Assignment(P._replace(number=1), 0, 1)
    other.pending[0].append(7)
    other.reached(8)
    site.feed(envelope(0, "p0"), envelope(1, "p1"))
    site.lane.put(Run.of(other, [envelope(7, "p7")]))
    site.run()
    assert [[change.id for change in batch] for batch in applier.batches] == [[b"p7"]]
    assert site.counters.get("dropped") == 2
    assert other.committable() == 8


def test_a_dead_letter_names_the_partition_that_its_record_came_from() -> None:
    applier = FakeApplier()
    applier.reject = {b"p7"}
    site = Site(applier)
    other = Assignment(P._replace(number=1), 0, 1)
    other.pending[0].append(7)
    site.feed(envelope(0, "p0"))
    site.lane.put(Run.of(other, [envelope(7, "p7")]))
    site.run()
    assert site.letters.partitions == [other.partition]


@pytest.mark.requirement("R9.3")
def test_past_the_deadline_of_the_shutdown_a_worker_gives_up_without_moving_the_offset() -> None:
    site = Site(FakeApplier(*[Retryable("down")] * 50))
    site.feed(envelope(0, "p0"))
    site.abandon.set()
    site.run()
    assert site.assignment.committable() == 0
    with pytest.raises(Stopped):
        site.worker.write([Run.of(Assignment(P, 0, 1), [envelope(0, "p0")])])


def test_what_is_stale_is_left_out_before_its_document_is_looked_at_and_everything_is_counted_once() -> None:
    applier = FakeApplier()
    applier.looks_ahead = True
    applier.stale = {b"p1", b"p2", b"p4"}
    positions = [b"0000000004", b"0000000005"]
    site = Site(applier)
    site.feed(envelope(0, "p0"), envelope(1, "p1"))
    site.take()
    site.feed(envelope(2, "p2"), FakeRecord(3, b"k", b"{bad"), envelope(4, "p4"), envelope(5, "p5"))
    site.run()
    assert [version and version.position[:10] for version in applier.versions] == [b"0000000002", None, *positions]
    assert [[change.id for change in batch] for batch in applier.batches] == [[b"p0", b"p1"], [b"p5"]]
    assert site.letters.buried == [3]
    assert (site.counters.get("inserted"), site.counters.get("stale")) == (3, 2)
    assert site.assignment.committable() == 6


def test_a_look_ahead_that_fails_leaves_it_to_the_writing_to_wait_for_the_server() -> None:
    applier = FakeApplier(Retryable("down"), Retryable("down"))
    applier.looks_ahead = True
    site = Site(applier)
    site.feed(envelope(0, "p0"))
    site.run()
    assert [[change.id for change in batch] for batch in applier.batches] == [[b"p0"]]
    assert site.counters.get("retries") == 1


def test_records_of_several_runs_are_picked_where_they_stand() -> None:
    other = Assignment(Partition("cdc.game.players", 1), 0, 1)
    site = Site(FakeApplier())
    batch = [
        Run.of(assignment, [envelope(n, "x") for n in numbers])
        for assignment, numbers in [(site.assignment, range(3)), (other, range(10, 12)), (site.assignment, range(3, 6))]
    ]
    picked = _picked(batch, [1, 2, 5, 7])
    assert [(run.assignment, [record.offset for record in run.records]) for run in picked] == [
        (site.assignment, [1, 2]),
        (site.assignment, [3, 5]),
    ]
    assert _picked(batch, []) == []
    assert _picked(batch, range(8)) == batch
