"""Records into kafka-python's batches, many at once, in place of what its `RecordAccumulator.append` does for each.

The driver takes a lock, makes a future with callbacks and encodes number after number in Python for every record,
and calls the callbacks of each when the batch is acknowledged: with that, it was the driver that limited `cdc watch`.
Here the records of one partition are encoded together, and share the fate of their batch.

Known of 3.0.12: a batch is appended to under its partition's lock until it is closed; closing, sending, retrying and
splitting are the driver's. `split_and_reenqueue` looks into the batch's `_record_futures` to tell each record where
it has gone, by `rebind`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka.errors import IllegalStateError
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import encode_varint

from cdc_cli.clock import Clock
from cdc_cli.publish import Headers


class Report:
    """The fate of one record: that of its batch, once the driver has it."""

    __slots__ = ("_batch", "_failure", "_number")

    def __init__(self) -> None:
        self._batch: Any = None
        self._number = 0
        self._failure: BaseException | None = None

    @property
    def is_given(self) -> bool:
        """The driver has the record."""
        return self._batch is not None

    @property
    def is_done(self) -> bool:
        batch = self._batch
        return self._failure is not None if batch is None else batch.is_done

    @property
    def exception(self) -> BaseException | None:
        batch = self._batch
        if batch is None or not batch.is_done:
            return self._failure
        _, _, failure_of = batch.value
        return None if failure_of is None else failure_of(self._number)

    def fail(self, error: BaseException) -> None:
        """The driver never had it."""
        self._failure = error

    def rebind(self, batch: Any, number: int) -> None:
        """It is this one in the batch with this future; called again, by the driver's thread, when it splits one."""
        self._number = number
        self._batch = batch


Addressed = tuple[bytes | None, bytes | None, Headers, Report]
"""Key, value, headers, and where to tell its fate."""


class Sizes(dict[int, bytes]):
    """Numbers as Kafka writes them, with variable length; those of one or two bytes are remembered."""

    def __missing__(self, number: int) -> bytes:
        raw = bytearray()
        encode_varint(number, raw.append)
        if len(raw) <= 2:
            self[number] = bytes(raw)
        return bytes(raw)


def append(producer: Any, place: Any, records: Sequence[Addressed], sizes: Sizes, clock: Clock) -> None:
    """Give records to a `KafkaProducer`, for one partition, in order; waits for nobody but its sender at work.

    Raises IllegalStateError when the producer has been closed. Whoever has appended wakes the sender.
    """
    accumulator = producer._accumulator
    accumulator._appends_in_progress.increment()
    try:
        with accumulator._tp_lock(place):
            if accumulator._closed:
                raise IllegalStateError("the producer is closed")
            batches = accumulator._batches[place]
            given = _fill(batches[-1], records, sizes, clock) if batches else 0
            while given < len(records):
                batch = _new_batch(accumulator, place, clock)
                given += _fill(batch, records[given:], sizes, clock)
                batches.append(batch)
                accumulator._incomplete.add(batch)
    finally:
        accumulator._appends_in_progress.decrement()


def _new_batch(accumulator: Any, place: Any, clock: Clock) -> Any:
    config = accumulator.config
    builder = MemoryRecordsBuilder(config["message_version"], config["compression_attrs"], config["batch_size"])
    return ProducerBatch(place, builder, clock.monotonic())


def _fill(batch: Any, records: Sequence[Addressed], sizes: Sizes, clock: Clock) -> int:
    """As many as still fit, or one if the batch is empty; how many that were."""
    if batch.records._closed:
        return 0
    builder, reports = batch.records._builder, batch._record_futures
    now = int(clock.time() * 1000)
    if builder._first_timestamp is None:
        builder._first_timestamp = builder._max_timestamp = now
    # Attributes (none), time; then by record: offset, key, value, headers. https://kafka.apache.org/documentation/#record
    head = b"\0" + sizes[now - builder._first_timestamp]
    begun = number = batch.records._next_offset
    left = builder._batch_size - len(builder._buffer)
    encoded: list[bytes] = []
    for key, value, headers, _ in records:
        key_size = sizes[-1 if key is None else len(key)]
        value_size = sizes[-1 if value is None else len(value)]
        more = _headers(headers, sizes) if headers else b"\0"
        body = b"%b%b%b%b%b%b%b" % (head, sizes[number], key_size, key or b"", value_size, value or b"", more)
        record = sizes[len(body)] + body
        left -= len(record)
        if left < 0 and number:
            break
        encoded.append(record)
        number += 1
    if not encoded:
        return 0
    builder._buffer += b"".join(encoded)
    builder._max_timestamp = max(builder._max_timestamp, now)
    builder._num_records = batch.records._next_offset = number
    builder._last_offset = number - 1
    batch.max_record_size = max(batch.max_record_size, max(map(len, encoded)))
    batch.last_append = clock.monotonic()
    for position, (_, _, _, report) in enumerate(records[: number - begun], begun):
        report.rebind(batch.produce_future, position)
        reports.append(report)
    given: int = number - begun
    return given


def _headers(headers: Headers, sizes: Sizes) -> bytes:
    encoded = [sizes[len(headers)]]
    for name, value in headers:
        text = name.encode()
        encoded += (sizes[len(text)], text, sizes[len(value)], value)
    return b"".join(encoded)
