"""Reading the records of a fetched batch, in place of what kafka-python does for each record.

The driver's own loop makes three objects of every record and decodes number after number in Python, which costs as
much as everything else that happens to the record on its way to PostgreSQL. Here one regular expression finds the
numbers at the beginning of a record, and short ones are decoded once. Formats older than Kafka 0.11 are left to the
driver. Checksums are verified as before. For readers of everything (`read_uncommitted`) without deserializers.

Known of 3.0.12: a fetcher makes a `PartitionRecords` of each fetched partition, and reads it by `take`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple, cast

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.util import decode_varint

_NUMBER: Final = rb"[\x80-\xff]*+[\x00-\x7f]"
_HEAD: Final = re.compile(rb"%b.(%b)(%b)(%b)" % ((_NUMBER,) * 4), re.DOTALL).match
"""Size, attributes, time, offset, size of the key. https://kafka.apache.org/documentation/#record"""
_SHORT: Final = 2

Headers = tuple[tuple[str, bytes | None], ...]


class Record(NamedTuple):
    """A `RawRecord`."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers


class Numbers(dict[bytes, int]):
    """Kafka's variable-length numbers by their bytes; those of one or two bytes are remembered."""

    def __missing__(self, raw: bytes) -> int:
        number: int = decode_varint(raw)[0]
        if len(raw) <= _SHORT:
            self[raw] = number
        return number


def read_quickly(consumer: Any) -> None:
    """Let a `KafkaConsumer` make `Record`s, quickly."""
    consumer._fetcher.PartitionRecords = partial(_Records, Numbers())


class _Records(Fetcher.PartitionRecords):  # type: ignore[misc]
    """One partition's share of an answer."""

    def __init__(self, numbers: Numbers, *args: Any, **options: Any) -> None:
        self._numbers = numbers
        super().__init__(*args, **options)

    def take(self, n: int | None = None) -> list[Any]:
        records: list[Any] = super().take(n)
        if records and self.record_iterator is not None:
            self.next_fetch_offset = records[-1].offset + 1
        return records

    def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Iterator[Any]:
        while (batch := records.next_batch()) is not None:
            if batch.magic < 2:
                yield from super()._unpack_records(tp, _Rest(batch, records), *deserializers)
                return
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"the batch at offset {batch.base_offset} of {tp} fails its checksum")
            self.leader_epoch, after = batch.leader_epoch, batch.next_offset
            if not batch.is_control_batch:
                self.bytes_read += batch.size_in_bytes
                self.records_read += batch.records_count
                yield from read(batch, self._numbers)
            # Not the last record's: compaction may have taken records from the end of a batch.
            self.next_fetch_offset = after
        self.drain()


class _Rest:
    """A batch that was looked at, and those behind it."""

    def __init__(self, first: Any, rest: Any) -> None:
        self._first, self._rest = first, rest

    def next_batch(self) -> Any:
        first, self._first = self._first, None
        return first if first is not None else self._rest.next_batch()


def read(batch: Any, numbers: Numbers) -> Iterator[Record]:
    """The records of a `DefaultRecordBatch`. Raises CorruptRecordError when they are not what the batch says."""
    batch._maybe_uncompress()
    data, pos, base = bytes(batch._buffer), batch._pos, batch.base_offset
    batch._buffer = b""  # held once only
    first = batch.first_timestamp
    appended = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
    new, headers = tuple.__new__, cast(Headers, ())
    try:
        for _ in range(batch.records_count):
            head = _HEAD(data, pos)
            time, offset, size = head.groups()  # type: ignore[union-attr]
            pos = head.end()  # type: ignore[union-attr]
            length = numbers[size]
            key = data[pos : (pos := pos + length)] if length >= 0 else None
            end = pos + 1
            while data[end - 1] > 0x7F:
                end += 1
            length, pos = numbers[data[pos:end]], end
            value = data[pos : (pos := pos + length)] if length >= 0 else None
            if data[pos]:
                headers, pos = _headers(data, pos)
            else:
                headers, pos = (), pos + 1
            stamp = first + numbers[time] if appended is None else appended
            yield new(Record, (base + numbers[offset], key, value, stamp, headers))
    except (AttributeError, IndexError, ValueError) as exc:
        raise CorruptRecordError(f"the batch at offset {base} is not made of records: {exc!r}") from exc
    if pos != len(data):
        raise CorruptRecordError(f"the batch at offset {base} has {len(data) - pos} bytes behind its last record")


def _headers(data: bytes, pos: int) -> tuple[Headers, int]:
    headers: list[tuple[str, bytes | None]] = []
    count, pos = decode_varint(data, pos)
    for _ in range(count):
        size, pos = decode_varint(data, pos)
        name = data[pos : (pos := pos + size)].decode()
        size, pos = decode_varint(data, pos)
        headers.append((name, data[pos : (pos := pos + size)] if size >= 0 else None))
    return tuple(headers), pos
