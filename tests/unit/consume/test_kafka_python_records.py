"""The quick reader of fetched batches gives what kafka-python's own loop gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from cdc_cli.consume.kafka_python_records import Numbers, read_quickly

PLACE = TopicPartition("game.players", 3)
TIME = 1_700_000_000_000

# What varies in a record: how many offsets are missing before it, time, key, value, headers.
short = st.none() | st.binary(max_size=70)
values = short | st.builds(bytes.__mul__, st.just(b"x"), st.integers(60, 70_000))
headers = st.lists(st.tuples(st.text(max_size=9), short), max_size=3)
records = st.tuples(st.integers(0, 200), st.integers(-9_000, 9_000), short, values, headers)
batches = st.lists(st.tuples(st.booleans(), st.lists(records, min_size=1, max_size=5)), max_size=4)


def log_of(batches: Sequence[tuple[bool, Sequence[Any]]]) -> bytes:
    """Some batches, one behind the other, each compressed or not."""
    log, offset = b"", 0
    for is_compressed, records in batches:
        builder = MemoryRecordsBuilder(2, int(is_compressed), 1 << 30, offset=0)
        for gap, time, key, value, headers in records:
            builder.skip(gap)
            builder.append(TIME + time, key, value, headers)
        builder.close()
        batch = bytes(builder.buffer())
        log += offset.to_bytes(8, "big") + batch[8:]
        offset += builder.next_offset()
    return log


class Driver:
    """As much of a KafkaConsumer as makes `PartitionRecords`."""

    def __init__(self) -> None:
        self._fetcher: Any = self
        self.PartitionRecords: Any = Fetcher.PartitionRecords


def reading(log: bytes, start: int, is_quick: bool, drained: list[Any] | None = None) -> Any:
    driver = Driver()
    if is_quick:
        read_quickly(driver)
    note = (drained if drained is not None else []).append
    return driver.PartitionRecords(start, PLACE, MemoryRecords(log), on_drain=note)


def taken(part: Any, at_once: int | None) -> list[tuple[Any, ...]]:
    """Everything, with the offset that would be fetched next after each take."""
    found = []
    while part:
        some = part.take(at_once)
        found.append((part.next_fetch_offset, part.leader_epoch))
        found += [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in some]
    return found


@given(batches, st.integers(0, 30), st.sampled_from([1, 2, 3, 1000]))
def test_records_and_positions_are_those_of_the_drivers_own_loop(batches: Any, start: int, at_once: int) -> None:
    log = log_of(batches)
    drained: list[Any] = []
    quick = reading(log, start, True, drained)
    assert taken(quick, at_once) == taken(reading(log, start, False), at_once)
    assert len(drained) == 1 and (quick.bytes_read > 0) == bool(batches)


def with_attributes(log: bytes, attributes: int) -> bytes:
    changed = bytearray(log)
    changed[21:23] = attributes.to_bytes(2, "big")
    changed[17:21] = calc_crc32c(memoryview(changed)[21:]).to_bytes(4, "big")
    return bytes(changed)


ONE = log_of([(False, [(0, 5, b"k", b"v", [])])])
TWO = log_of([(False, [(0, 5, b"k", b"v", [])]), (False, [(7, 6, b"k", b"w", [("a", b"1"), ("b", None)])])])


@pytest.mark.parametrize("attributes", [0x08, 0x10, 0x20, 0x30], ids=["log-append", "transaction", "control", "marker"])
def test_times_of_the_broker_and_transaction_markers_are_read_as_the_driver_does(attributes: int) -> None:
    log = with_attributes(ONE, attributes) + TWO[len(ONE) :]
    assert taken(reading(log, 0, True), 9) == taken(reading(log, 0, False), 9)


def test_an_old_format_is_left_to_the_driver() -> None:
    builder = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    builder.append(0, TIME, b"k", b"v")
    log = bytes(builder.build()) + ONE
    assert taken(reading(log, 0, True), 9) == taken(reading(log, 0, False), 9)


@pytest.mark.parametrize("at", range(17, len(ONE)))
def test_a_batch_that_fails_its_checksum_is_refused(at: int) -> None:
    damaged = bytearray(ONE)
    damaged[at] ^= 1
    with pytest.raises(CorruptRecordError, match="checksum"):
        reading(bytes(damaged), 0, True).take(9)


def test_what_came_before_a_damaged_batch_is_given_and_then_the_error_is_told() -> None:
    damaged = bytearray(TWO)
    damaged[-1] ^= 1
    part = reading(bytes(damaged), 0, True)
    assert [record.value for record in part.take(9)] == [b"v"]
    assert part.next_fetch_offset == 1
    with pytest.raises(CorruptRecordError):
        part.take(9)


@pytest.mark.parametrize("change", [b"\x00", b"\x7f", b"\xff"])
@pytest.mark.parametrize("at", range(61, len(TWO) - len(ONE) - 1))
def test_a_batch_that_is_not_made_of_records_is_refused_or_read_to_its_end(at: int, change: bytes) -> None:
    """Its checksum is right, so somebody wrote it so."""
    batch = TWO[len(ONE) :]
    log = with_attributes(batch[:at] + change + batch[at + 1 :], 0)
    try:
        reading(log, 0, True).take(9)
    except CorruptRecordError:
        pass


def test_numbers_of_more_than_two_bytes_are_not_remembered() -> None:
    numbers = Numbers()
    assert [numbers[raw] for raw in (b"\x01", b"\x80\x01", b"\x80\x80\x01")] == [-1, 64, 8192]
    assert len(numbers) == 2
