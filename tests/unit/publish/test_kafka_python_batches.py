"""Batches that are filled many records at once are those that kafka-python fills record by record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.errors import IllegalStateError
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from cdc_cli.clock import SystemClock
from cdc_cli.publish.kafka_python_batches import Report, Sizes, append

PLACE = TopicPartition("game.players", 3)
SIZE = 2_000

short = st.binary(max_size=70)
values = short | st.builds(bytes.__mul__, st.just(b"x"), st.integers(60, 17_000))
headers = st.lists(st.tuples(st.text(max_size=9), short), max_size=3)
records = st.tuples(st.none() | short, st.none() | values, headers)
bursts = st.lists(st.lists(records, max_size=12), max_size=4)


class Driver:
    """As much of a KafkaProducer as `append` uses."""

    def __init__(self, **options: Any) -> None:
        self._accumulator = RecordAccumulator(message_version=2, batch_size=SIZE, **options)

    @property
    def batches(self) -> list[Any]:
        return list(self._accumulator._batches[PLACE])


def given_to(driver: Driver, burst: Sequence[tuple[Any, ...]]) -> list[Report]:
    reports = [Report() for _ in burst]
    addressed = [(*record, report) for record, report in zip(burst, reports, strict=True)]
    append(driver, PLACE, addressed, Sizes(), SystemClock())
    return reports


def closed(batch: Any) -> bytes:
    batch.records.close()
    return bytes(batch.records.buffer())


def content(log: bytes) -> list[tuple[Any, ...]]:
    batches = MemoryRecords(log)
    return [(r.key, r.value, r.headers, r.timestamp) for r in batches.next_batch()]


def as_the_driver_fills_them(records: Sequence[tuple[Any, ...]]) -> list[bytes]:
    builders: list[Any] = []
    for key, value, headers, time in records:
        if not builders or builders[-1].append(time, key, value, headers) is None:
            builders.append(MemoryRecordsBuilder(2, 0, SIZE))
            assert builders[-1].append(time, key, value, headers)
    for builder in builders:
        builder.close()
    return [bytes(builder.buffer()) for builder in builders]


@given(bursts)
def test_batches_are_byte_for_byte_those_of_the_driver(bursts: Any) -> None:
    driver = Driver()
    reports = [report for burst in bursts for report in given_to(driver, burst)]
    batches = driver.batches
    logs = [closed(batch) for batch in batches]
    found = [record for log in logs for record in content(log)]
    assert [record[:3] for record in found] == [record for burst in bursts for record in burst]
    assert logs == as_the_driver_fills_them(found)
    assert [batch.record_count for batch in batches] == [len(content(log)) for log in logs]
    assert driver._accumulator._incomplete.all() == [] or set(driver._accumulator._incomplete.all()) == set(batches)
    assert all(report.is_given and not report.is_done and report.exception is None for report in reports)


def test_a_batch_that_is_on_its_way_is_not_appended_to() -> None:
    driver = Driver()
    given_to(driver, [(b"a", b"1", [])])
    log = closed(driver.batches[0])
    given_to(driver, [(b"b", b"2", [])])
    assert [batch.record_count for batch in driver.batches] == [1, 1]
    assert bytes(driver.batches[0].records.buffer()) == log


def test_records_are_done_with_their_batch_and_not_before() -> None:
    driver = Driver()
    reports = given_to(driver, [(b"a", b"x" * 1500, []), (b"b", b"x" * 1500, [])])
    first, second = driver.batches
    first.complete(17, -1)
    assert [(report.is_done, report.exception) for report in reports] == [(True, None), (False, None)]
    second.complete(18, -1)
    assert reports[1].is_done


def test_each_record_is_told_its_own_failure() -> None:
    driver = Driver()
    reports = given_to(driver, [(b"a", b"1", []), (b"b", b"2", [])])
    failures = [ValueError("first"), ValueError("second")]
    driver.batches[0].complete_exceptionally(OSError("the batch"), lambda number: failures[number])
    assert [report.exception for report in reports] == failures


def test_abandoned_records_have_failed() -> None:
    driver = Driver()
    reports = given_to(driver, [(b"a", b"1", []), (b"b", b"2", [])])
    driver._accumulator.abort_incomplete_batches()
    assert all(report.is_done and isinstance(report.exception, IllegalStateError) for report in reports)


def test_records_follow_when_the_driver_splits_their_batch() -> None:
    driver = Driver()
    reports = given_to(driver, [(b"%d" % n, b"x", [("h", b"y")]) for n in range(5)])
    (batch,) = driver.batches
    closed(batch)
    driver._accumulator._batches[PLACE].clear()
    driver._accumulator.split_and_reenqueue(batch)
    left, right = driver.batches
    assert [record[0] for record in content(closed(right))] == [b"3", b"4"]
    right.complete_exceptionally(OSError("too large"), lambda number: OSError(number))
    assert [report.is_done for report in reports] == [False] * 3 + [True] * 2
    assert [str(report.exception) for report in reports[3:]] == ["0", "1"]
    left.complete(0, -1)
    assert [report.exception for report in reports[:3]] == [None] * 3
    assert all(report.is_done for report in reports)


def test_a_closed_producer_takes_nothing_and_is_not_held_up() -> None:
    driver = Driver()
    driver._accumulator.close()
    report = Report()
    with pytest.raises(IllegalStateError):
        append(driver, PLACE, [(b"a", b"1", [], report)], Sizes(), SystemClock())
    assert not report.is_given
    assert driver._accumulator._appends_in_progress.get() == 0
    report.fail(OSError("closed"))
    assert report.is_done and str(report.exception) == "closed"
