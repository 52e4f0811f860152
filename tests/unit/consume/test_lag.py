"""How far PostgreSQL is behind, told by what polls brought and what lanes finished."""

from __future__ import annotations

import pytest

from cdc_cli.consume import Partition
from cdc_cli.consume.lag import Lag, LagMeter
from cdc_cli.consume.offsets import Assignment, Offsets
from cdc_cli.envelope import Encoder
from cdc_cli.events import ChangeEvent, Operation, Position
from tests.support.clock import ManualClock
from tests.support.fakes_ranges import Stored

P, Q = Partition("cdc.game.players", 0), Partition("cdc.game.players", 1)


def event(offset: int, seconds: float) -> Stored:
    """A record whose change was committed then; Kafka's own timestamp is another one."""
    change = ChangeEvent(Operation.DELETE, "game", "players", offset, Position(1, 1, 0), int(seconds * 1000))
    key, value = Encoder().encode(change)
    return Stored(offset, key, value, 0)


class Desk:
    """A meter, and one partition that is ours and read from offset 10 on."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.offsets = Offsets(1)
        self.meter = LagMeter(self.offsets, self.clock)
        self.end: int | None = None
        self.assignment: Assignment = self.offsets.assign(P, 10)
        self.meter.positioned(P, 10)

    def poll(self, *records: Stored) -> None:
        """As the poll thread does, a second after the last time."""
        self.clock.tick(1)
        self.meter.polled({P: records} if records else {}, lambda _: self.end)
        for record in records:
            self.assignment.pending[0].append(record.offset)
        if records:
            self.assignment.reached(records[-1].offset + 1)

    @property
    def lag(self) -> Lag:
        return self.meter.lags()[P]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_lag_rises_while_nothing_is_committed_and_falls_to_zero(desk: Desk) -> None:
    now = desk.clock.time()
    desk.end = 14
    desk.poll(event(10, now - 4), event(11, now - 3))
    desk.poll(event(12, now - 2), event(13, now - 1))
    assert desk.lag == Lag(4, pytest.approx(6.0))
    desk.clock.tick(10)
    assert desk.lag == Lag(4, pytest.approx(16.0))
    desk.assignment.done(0, 3)
    assert desk.lag == Lag(1, pytest.approx(14.0)), "as old as the first record of its poll"
    desk.assignment.done(0, 1)
    assert desk.lag == Lag(0, 0.0)


def test_what_was_not_read_yet_is_as_old_as_it_has_been_known(desk: Desk) -> None:
    desk.end = 10
    desk.poll()
    assert desk.lag == Lag(0, 0.0)
    desk.end = 15
    desk.poll()
    desk.clock.tick(3)
    assert desk.lag == Lag(5, 3.0)


def test_an_end_that_is_not_known_or_wrong_leaves_the_records_unknown_and_never_negative(desk: Desk) -> None:
    now = desk.clock.time()
    for end in (None, 3):
        desk.end = end
        desk.poll()
        assert desk.lag == Lag(None, 0.0)
    desk.poll(event(10, now), event(11, now))
    assert desk.lag.records is None
    assert desk.lag.seconds == pytest.approx(desk.clock.time() - now)


def test_an_end_that_reading_has_passed_since_is_not_wrong(desk: Desk) -> None:
    desk.end = 10
    desk.poll()
    desk.meter.polled({P: [event(10, 0)]}, lambda _: 0)
    desk.assignment.pending[0].append(10)
    desk.assignment.reached(11)
    assert desk.lag.records == 1


def test_a_record_that_is_no_event_has_the_time_of_kafka(desk: Desk) -> None:
    now = desk.clock.time()
    desk.poll(Stored(10, b"k", b"junk", int((now - 5) * 1000)))
    assert desk.lag.seconds == pytest.approx(6.0, abs=0.01)


def test_only_partitions_that_are_ours_are_told_and_a_new_start_has_no_past(desk: Desk) -> None:
    desk.meter.positioned(Q, 0)
    desk.end = 11
    desk.poll(event(10, desk.clock.time() - 100))
    assert desk.meter.lags().keys() == {P}
    desk.offsets.revoke([P])
    assert desk.meter.lags() == {}
    desk.poll()
    desk.offsets.assign(P, 11)
    assert desk.meter.lags() == {}, "not read from yet"
    desk.meter.positioned(P, 11)
    assert desk.meter.lags() == {P: Lag(None, 0.0)}


def test_first_records_are_let_go_once_they_are_committed(desk: Desk) -> None:
    for offset in range(10, 30):
        desk.poll(event(offset, 0))
        desk.assignment.done(0, 1)
    desk.poll()
    assert len(desk.meter._readings[P].heads) == 0
