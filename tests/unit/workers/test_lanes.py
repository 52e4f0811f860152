"""Lanes: batches by number and by age, in order, and drained when they close."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from cdc_cli.clock import SystemClock
from cdc_cli.consume import Partition
from cdc_cli.consume.offsets import Assignment
from cdc_cli.workers.lanes import Lane, Run


class FakeRecord(NamedTuple):
    offset: int
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    timestamp: int = 0
    headers: Any = ()


def run(assignment: Assignment, *offsets: int, value: bytes = b"v") -> Run:
    return Run.of(assignment, [FakeRecord(offset, value=value) for offset in offsets])


def offsets_of(batch: Sequence[Run]) -> list[int]:
    return [record.offset for run in batch for record in run.records]


def lane(max_rows: int, max_wait: float) -> tuple[Lane, Assignment]:
    return Lane(0, max_rows, max_wait, SystemClock()), Assignment(Partition("t", 0), 0, 1)


@pytest.mark.requirement("R5.2")
def test_a_full_batch_is_taken_without_waiting() -> None:
    queue, assignment = lane(max_rows=3, max_wait=3600)
    queue.put(run(assignment, 0, 1, 2, 3))
    assert offsets_of(queue.take()) == [0, 1, 2]
    assert queue.waiting == 1


@pytest.mark.requirement("R5.1", "R5.3")
def test_a_batch_that_is_not_full_is_taken_when_it_is_old_enough() -> None:
    queue, assignment = lane(max_rows=1000, max_wait=0.05)
    queue.put(run(assignment, 0, 1))
    assert offsets_of(queue.take()) == [0, 1]


def test_large_documents_go_in_smaller_batches_and_do_not_wait_for_their_number() -> None:
    queue, assignment = lane(max_rows=1000, max_wait=3600)
    half = b"x" * (1 << 19)
    queue.put(run(assignment, *range(7), value=half))
    queue.put(run(assignment, *range(7, 10), value=half))
    assert offsets_of(queue.take()) == [0, 1, 2]
    assert offsets_of(queue.take()) == [3, 4, 5]
    assert offsets_of(queue.take()) == [6, 7, 8]
    assert queue.waiting_bytes == len(half)
    queue.close()
    assert offsets_of(queue.take()) == [9]


def test_a_batch_is_made_of_whole_and_cut_runs_in_the_order_in_which_they_were_put() -> None:
    queue, assignment = lane(max_rows=4, max_wait=3600)
    other = Assignment(Partition("t", 1), 0, 1)
    queue.put(run(assignment, 0, 1, 2))
    queue.put(run(other, 0, 1, 2))
    queue.put(run(assignment, 3, 4))
    assert [(r.assignment.partition.number, offsets_of([r])) for r in queue.take()] == [(0, [0, 1, 2]), (1, [0])]
    assert queue.is_full
    assert [(r.assignment.partition.number, offsets_of([r])) for r in queue.take()] == [(1, [1, 2]), (0, [3, 4])]
    assert (queue.waiting, queue.is_full) == (0, False)


@pytest.mark.requirement("R9.3")
def test_closing_takes_what_is_left_at_once_and_then_nothing() -> None:
    queue, assignment = lane(max_rows=2, max_wait=3600)
    queue.put(run(assignment, 0, 1, 2))
    queue.close()
    assert [offsets_of(queue.take()), offsets_of(queue.take()), queue.take()] == [[0, 1], [2], []]


@pytest.mark.requirement("R6.3", "R6.5")
def test_a_worker_that_waits_is_woken_by_what_is_put_from_another_thread() -> None:
    queue, assignment = lane(max_rows=2, max_wait=3600)
    taken: list[list[Run]] = []
    worker = threading.Thread(target=lambda: taken.append(queue.take()))
    worker.start()
    queue.put(run(assignment, 0))
    queue.put(run(assignment, 1))
    worker.join(timeout=10)
    assert offsets_of(taken[0]) == [0, 1]


@pytest.mark.requirement("R5.4")
def test_finished_items_free_their_offsets_and_are_counted() -> None:
    queue, assignment = lane(max_rows=10, max_wait=0)
    assignment.pending[0].extend([0, 1])
    assignment.reached(2)
    queue.put(run(assignment, 0, 1))
    queue.finish(queue.take())
    assert (assignment.committable(), queue.finished, queue.finished_bytes) == (2, 2, 2)
