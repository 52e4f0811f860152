"""Which token is safe: only that of the contiguous acknowledged prefix (invariant I4)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.events import Mark, Position


class FakeDelivery:
    def __init__(self) -> None:
        self.is_done = False
        self.exception: BaseException | None = None


def mark(number: int, is_event: bool = True) -> Mark:
    return Mark({"_data": f"{number:08x}"}, Position(number, 1, 0), (number, 1), is_event)


@pytest.mark.requirement("R2.1", "R3.3")
def test_an_acknowledgement_out_of_order_does_not_move_the_token_past_a_gap() -> None:
    tracker, deliveries = Tracker(), [FakeDelivery() for _ in range(3)]
    for number, delivery in enumerate(deliveries):
        tracker.add(delivery, mark(number), 100)
    deliveries[1].is_done = deliveries[2].is_done = True
    assert tracker.advance() is None
    assert tracker.in_flight == 3
    deliveries[0].is_done = True
    assert tracker.advance() == mark(2)
    assert (tracker.in_flight, tracker.in_flight_bytes, tracker.acknowledged) == (0, 0, 3)


def test_a_post_batch_mark_waits_for_what_was_read_before_it() -> None:
    tracker, delivery = Tracker(), FakeDelivery()
    tracker.add(delivery, mark(1), 10)
    tracker.note(mark(9, is_event=False))
    assert tracker.advance() is None
    delivery.is_done = True
    assert tracker.advance() == mark(9, is_event=False)


def test_after_a_failure_nothing_newer_becomes_safe_until_the_reset() -> None:
    tracker, deliveries = Tracker(mark(0)), [FakeDelivery() for _ in range(3)]
    for number, delivery in enumerate(deliveries, start=1):
        tracker.add(delivery, mark(number), 10)
    for delivery in deliveries:
        delivery.is_done = True
    deliveries[1].exception = RuntimeError("refused")
    assert tracker.advance() == mark(1)
    assert isinstance(tracker.failure, RuntimeError)
    assert tracker.advance() == mark(1)
    assert tracker.reset() == 2
    assert (tracker.in_flight, tracker.failure, tracker.safe) == (0, None, mark(1))


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_whatever_the_order_of_acknowledgements_the_safe_mark_has_no_gap_before_it(seed: int, count: int) -> None:
    chance = random.Random(seed)
    tracker, deliveries = Tracker(), [FakeDelivery() for _ in range(count)]
    for number, delivery in enumerate(deliveries):
        tracker.add(delivery, mark(number), 1)
    for delivery in chance.sample(deliveries, count):
        delivery.is_done = True
        safe = tracker.advance()
        done = [d.is_done for d in deliveries]
        expected = done.index(False) if False in done else count
        assert (safe.position.seconds if safe and safe.position else -1) == expected - 1
