"""When reading stops for a while."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from unittest.mock import create_autospec

import pytest

from cdc_cli.clock import SystemClock
from cdc_cli.consume import Consumer, Partition
from cdc_cli.consume.offsets import Assignment
from cdc_cli.observe.counters import Counters
from cdc_cli.workers.backpressure import Backpressure, Buffer
from cdc_cli.workers.lanes import MAX_BYTES, Lane
from tests.unit.workers.test_lanes import run

P = Partition("t", 0)


class Waits(threading.Event):
    """Tells how often it was waited for; ends the wait by taking a batch out of the lane."""

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.lane = lane
        self.times = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.times += 1
        self.lane.take()
        return False


def pressure(lanes: Sequence[Lane], stop: threading.Event) -> Backpressure:
    consumer = create_autospec(Consumer, instance=True)
    return Backpressure(consumer, lanes, Buffer(10_000, 1 << 40), Counters(), SystemClock(), stop)


def lanes_of(count: int) -> list[Lane]:
    return [Lane(number, 1000, 3600, SystemClock()) for number in range(count)]


def test_large_documents_stop_reading_when_there_are_batches_for_all_lanes_though_one_has_none() -> None:
    busy, _ = lanes = lanes_of(2)
    busy.put(run(Assignment(P, 0, 2), 0, 1, value=b"x" * MAX_BYTES))
    stop = Waits(busy)
    pressure(lanes, stop).breathe([P])
    assert stop.times == 1


def test_reading_goes_on_while_the_lanes_have_less_than_a_batch_each_together() -> None:
    busy, _ = lanes = lanes_of(2)
    busy.put(run(Assignment(P, 0, 2), 0, 1, value=b"x" * (MAX_BYTES - 1)))
    stop = Waits(busy)
    pressure(lanes, stop).breathe([P])
    assert stop.times == 0


def test_what_stops_reading_leaves_a_whole_batch_to_take_in_some_lane() -> None:
    """Otherwise everybody would wait until batches are old enough."""
    lanes = lanes_of(3)
    for lane in lanes:
        lane.put(run(Assignment(P, 0, 3), 0, value=b"x" * (MAX_BYTES - 1)))
    stop = Waits(lanes[0])
    pressure(lanes, stop).breathe([P])
    assert stop.times == 0
    lanes[0].put(run(Assignment(P, 0, 3), 1, value=b"x" * 3))
    assert lanes[0].is_full
    pressure(lanes, stop).breathe([P])
    assert stop.times == 1


@pytest.mark.parametrize(("full", "waits"), [(7, 0), (8, 1)])
def test_of_many_lanes_eight_that_have_their_next_batch_stop_reading(full: int, waits: int) -> None:
    lanes = lanes_of(16)
    for lane in lanes[:full]:
        lane.put(run(Assignment(P, 0, 16), *range(1000)))
    stop = Waits(lanes[0])
    pressure(lanes, stop).breathe([P])
    assert stop.times == waits


def test_few_records_are_asked_for_until_their_size_is_known_and_of_large_ones_always() -> None:
    backpressure = pressure(lanes_of(1), threading.Event())
    assert backpressure.poll_records <= 4
    backpressure.routed(4, 4 * 400)
    assert backpressure.poll_records == 2000
    backpressure.routed(2000, 2000 << 20)
    assert backpressure.poll_records == 4
    backpressure.routed(4, 4 * (16 << 20))
    assert backpressure.poll_records == 1
