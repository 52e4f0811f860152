"""Lanes: batches by number and by age, in order, and drained when they close."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pytest

from cdc_cli.clock import SystemClock
from cdc_cli.consume import Partition
from cdc_cli.consume.offsets import Assignment
from cdc_cli.workers.lanes import Item, Lane


class FakeRecord(NamedTuple):
    offset: int
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    timestamp: int = 0
    headers: Any = ()


def items(assignment: Assignment, *offsets: int) -> list[Item]:
    return [Item(assignment, FakeRecord(offset)) for offset in offsets]


def lane(max_rows: int, max_wait: float) -> tuple[Lane, Assignment]:
    return Lane(0, max_rows, max_wait, SystemClock()), Assignment(Partition("t", 0), 0, 1)


@pytest.mark.requirement("R5.2")
def test_a_full_batch_is_taken_without_waiting() -> None:
    queue, assignment = lane(max_rows=3, max_wait=3600)
    queue.put(items(assignment, 0, 1, 2, 3))
    assert [item.record.offset for item in queue.take()] == [0, 1, 2]
    assert queue.waiting == 1


@pytest.mark.requirement("R5.1", "R5.3")
def test_a_batch_that_is_not_full_is_taken_when_it_is_old_enough() -> None:
    queue, assignment = lane(max_rows=1000, max_wait=0.05)
    queue.put(items(assignment, 0, 1))
    assert [item.record.offset for item in queue.take()] == [0, 1]


def test_large_documents_go_in_smaller_batches_and_do_not_wait_for_their_number() -> None:
    queue, assignment = lane(max_rows=1000, max_wait=3600)
    half = b"x" * (1 << 19)
    queue.put([Item(assignment, FakeRecord(offset, value=half)) for offset in range(10)])
    assert [item.record.offset for item in queue.take()] == [0, 1, 2, 3]
    assert [item.record.offset for item in queue.take()] == [4, 5, 6, 7]
    queue.close()
    assert [item.record.offset for item in queue.take()] == [8, 9]


@pytest.mark.requirement("R9.3")
def test_closing_takes_what_is_left_at_once_and_then_nothing() -> None:
    queue, assignment = lane(max_rows=2, max_wait=3600)
    queue.put(items(assignment, 0, 1, 2))
    queue.close()
    assert [len(queue.take()), len(queue.take()), len(queue.take())] == [2, 1, 0]


@pytest.mark.requirement("R6.3", "R6.5")
def test_a_worker_that_waits_is_woken_by_what_is_put_from_another_thread() -> None:
    queue, assignment = lane(max_rows=2, max_wait=3600)
    taken: list[list[Item]] = []
    worker = threading.Thread(target=lambda: taken.append(queue.take()))
    worker.start()
    queue.put(items(assignment, 0))
    queue.put(items(assignment, 1))
    worker.join(timeout=10)
    assert [item.record.offset for item in taken[0]] == [0, 1]


@pytest.mark.requirement("R5.4")
def test_finished_items_free_their_offsets_and_are_counted() -> None:
    queue, assignment = lane(max_rows=10, max_wait=0)
    assignment.pending[0].extend([0, 1])
    assignment.reached(2)
    queue.put(items(assignment, 0, 1))
    queue.finish(queue.take(), size=2)
    assert (assignment.committable(), queue.finished, queue.finished_bytes) == (2, 2, 2)
