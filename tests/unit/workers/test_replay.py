"""The loop of a replay: every record is counted once, and the backlog shrinks only behind what is applied."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest

from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.records import EnvelopeMapper
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import Backlog, How, Place, Settled, Wanted
from cdc_cli.consume.ranges import Bounds
from cdc_cli.consume.selection import Selection
from cdc_cli.envelope import Encoder
from cdc_cli.errors import Fatal, Retryable, TryLater
from cdc_cli.events import ChangeEvent, Operation, Position
from cdc_cli.publish.dead_letter import REPLAY_COUNT
from cdc_cli.retry import RetryPolicy, Stopped
from cdc_cli.settings.models import RetrySettings
from cdc_cli.workers.replay import Failure, Handling, Replayer
from tests.support.clock import ManualClock
from tests.support.fakes_apply import FakeApplier, FakeLedger, Memory
from tests.support.fakes_letters import FakeLetterMemory
from tests.support.fakes_ranges import FakeRangeReader

P = Partition("cdc.game.players", 0)


class Desk:
    """A replayer on fakes; `buried` are the failures, batch by batch."""

    def __init__(self, handling: Handling | None = None, max_rows: int = 3, **selection: Any) -> None:
        self.reader = FakeRangeReader(P)
        self.applier = FakeApplier(FakeLedger(Memory(), "g", "o"))
        self.stop = threading.Event()
        self.memory = FakeLetterMemory()
        self.buried: list[Sequence[Failure]] = []
        self.bury_raises: Exception | None = None
        clock = ManualClock()
        retry = RetrySettings.model_validate({"initial": "10ms", "max_delay": "10ms", "max_attempts": 3})
        mapper = EnvelopeMapper(Mapper())
        policy = RetryPolicy(retry, clock)
        self.replayer = Replayer(
            self.reader, mapper, self.applier, self._bury, handling or Handling(), Selection(**selection),
            max_rows, policy, clock, self.stop, self.memory,
        )

    def _bury(self, failed: Sequence[Failure], seen: int) -> None:
        if self.bury_raises is not None and failed:
            raise self.bury_raises
        self.buried.append(failed)

    def event(self, id_: int, seconds: int, document: Any = (), **options: Any) -> int:
        """An event; without `document` its `_id` alone."""
        operation = Operation.DELETE if document is None else Operation.UPDATE
        whole = None if document is None else {"_id": id_, **dict(document)}
        event = ChangeEvent(operation, "game", "players", id_, Position(seconds, 1, 0), 0, whole, **options)
        key, value = Encoder().encode(event)
        return self.reader.add(P, value, key)

    def run(self, first: int = 0) -> bool:
        ranges = {P: Bounds(first, self.reader.ends[P])}
        return self.replayer.run(ranges, lambda: None, Backlog(self.memory.load(ranges)))

    @property
    def counts(self) -> dict[str, int]:
        return {name: count for name, count in asdict(self.replayer.tally).items() if count}


@pytest.mark.requirement("R8.5")
def test_twice_leaves_the_same_rows_and_everything_stale() -> None:
    desk = Desk()
    for number in range(8):
        desk.event(number % 4, 10 + number)
    desk.event(0, 30, None)
    assert desk.run()
    rows = dict(desk.applier.memory.rows)
    assert desk.counts == {"read": 9, "inserted": 4, "updated": 4, "deleted": 1}
    assert desk.run()
    assert desk.applier.memory.rows == rows
    assert desk.replayer.tally.stale == 9


def test_every_record_read_is_counted_as_one_thing() -> None:
    desk = Desk(max_rows=100, ids=[b"1", b"2", b"3"])
    desk.event(1, 10)
    desk.event(1, 11)
    desk.event(2, 12, None)
    desk.event(9, 13)
    desk.reader.add(P, b"junk", b'{"_id":3}')
    gone = ChangeEvent(Operation.UPDATE, "game", "players", 3, Position(14, 1, 0), 0, missing=True)
    desk.reader.add(P, Encoder().encode(gone)[1], b'{"_id":3}')
    assert desk.run()
    assert desk.counts == {
        "read": 6, "inserted": 1, "merged": 1, "stale": 1, "filtered": 1, "failed": 1, "empty": 1,
    }
    ((partition, record, error),) = desk.buried[0]
    assert (partition, record.offset, record.value, error.code) == (P, 4, b"junk", "envelope.malformed")


def test_it_ends_at_the_fixed_end_while_the_topic_grows() -> None:
    desk = Desk()
    for number in range(5):
        desk.event(number, 10)
    assert desk.replayer.run({P: Bounds(1, 4)}, lambda: desk.event(99, 20) and None)
    assert (desk.counts["read"], desk.replayer.positions) == (3, {P: 4})


def test_a_stop_ends_between_two_batches_and_the_position_tells_where() -> None:
    desk = Desk()
    for number in range(10):
        desk.event(number, 10)
    assert not desk.replayer.run({P: Bounds(0, 10)}, desk.stop.set)
    assert (desk.counts, desk.replayer.positions) == ({"read": 3, "inserted": 3}, {P: 3})


@pytest.mark.requirement("R12.1", "R12.2")
def test_what_passes_is_retried_and_what_does_not_is_given_up() -> None:
    desk = Desk()
    desk.event(1, 10)
    desk.applier.failures = [Retryable("a deadlock")]
    desk.reader.failures = [Retryable("an election"), Retryable("an election")]
    assert desk.run()
    assert desk.counts == {"read": 1, "inserted": 1}
    desk.applier.failures = [Retryable("down")] * 3
    with pytest.raises(Fatal, match="writing to PostgreSQL failed 3 times"):
        desk.run()
    assert desk.replayer.positions == {P: 0}


@pytest.mark.requirement("R4.5")
def test_the_backlog_moves_only_behind_what_is_applied_or_buried() -> None:
    desk = Desk(Handling(backlog=True, are_letters=True), max_rows=2)
    for number in range(3):
        desk.event(number, 10)
    desk.reader.add(P, b"junk")
    desk.bury_raises = Stopped("publishing")
    assert not desk.run()
    assert [place.offset for place in desk.memory.letters] == [0, 1]
    assert desk.reader.offsets == {}, "the group is told at the end"
    desk.bury_raises = None
    assert desk.run()
    assert desk.counts["settled"] == 2
    assert [place.offset for place in desk.memory.letters] == [0, 1, 2, 3]
    assert desk.reader.offsets == {P: 4}


def test_other_replays_store_no_offsets() -> None:
    for handling in (Handling(), Handling(are_letters=True)):
        desk = Desk(handling)
        desk.event(1, 10)
        assert desk.run()
        assert (desk.reader.offsets, desk.memory.letters) == ({}, {})


def test_a_letter_that_was_replayed_too_often_is_passed_over() -> None:
    desk = Desk(Handling(backlog=True, are_letters=True, max_replays=2), max_rows=10)
    for count in (b"0", b"1", b"2", b"7"):
        desk.reader.add(P, b"junk", headers=[(REPLAY_COUNT, count)])
    assert desk.run()
    assert desk.counts == {"read": 4, "failed": 2, "refused": 2}
    assert [dict(record.headers)[REPLAY_COUNT] for _, record, _ in desk.buried[0]] == [b"1", b"2"]
    assert desk.reader.offsets == {P: 4}
    assert [settled.how for settled in desk.memory.letters.values()] == [How.REPLAYED] * 2 + [How.REFUSED] * 2


BACKLOG = Handling(backlog=True, are_letters=True)


def coded(desk: Desk, *codes: str) -> None:
    """A letter of each error: an event that can be applied now."""
    for number, code in enumerate(codes):
        event = ChangeEvent(Operation.UPDATE, "game", "players", number, Position(9, 1, 0), 0, {"_id": number})
        key, value = Encoder().encode(event)
        desk.reader.add(P, value, key, headers=[("cdc.error.code", code.encode())])


@pytest.mark.requirement("R4.5")
def test_a_narrowed_backlog_settles_what_was_meant_and_the_offsets_stop_at_what_was_not() -> None:
    desk = Desk(BACKLOG._replace(wanted=Wanted(codes={"a"})), max_rows=2)
    coded(desk, "a", "b", "a", "a")
    assert desk.run()
    assert desk.counts == {"read": 4, "inserted": 3, "filtered": 1}
    assert desk.reader.offsets == {P: 1}
    assert [place.offset for place in desk.memory.letters] == [0, 2, 3]

    rest = Desk(BACKLOG)
    rest.reader, rest.memory = desk.reader, desk.memory
    rest.replayer._reader, rest.replayer._memory = desk.reader, desk.memory
    assert rest.run()
    assert rest.counts == {"read": 4, "inserted": 1, "settled": 3}
    assert rest.reader.offsets == {P: 4}


def test_a_replay_whose_right_to_the_letters_went_to_another_process_ends_without_touching_them() -> None:
    desk = Desk(BACKLOG, max_rows=1)
    coded(desk, "a", "a")
    desk.memory.failures = [TryLater("another process works on them")]
    with pytest.raises(TryLater):
        desk.run()
    assert (desk.applier.batches, desk.reader.offsets) == ([], {})


@pytest.mark.requirement("R12.1")
def test_letters_are_settled_as_often_as_it_takes() -> None:
    desk = Desk(BACKLOG, max_rows=10)
    coded(desk, "a", "a")
    desk.memory.failures = [Retryable("the connection is gone")] * 2
    assert desk.run()
    assert len(desk.memory.letters) == 2
    assert desk.reader.offsets == {P: 2}


def test_what_another_process_settled_while_the_right_was_lost_is_not_answered_again() -> None:
    desk = Desk(BACKLOG, max_rows=1)
    coded(desk, "a", "a", "a")

    def lose_the_right_for_a_while() -> None:
        if desk.replayer.tally.read == 1:
            desk.memory.letters[Place(P, 1, 0)] = Settled(How.REPLAYED, "", 0.0)
            desk.memory.is_new = True

    assert desk.replayer.run({P: Bounds(0, 3)}, lose_the_right_for_a_while, Backlog({}))
    assert desk.counts == {"read": 3, "inserted": 2, "settled": 1}
