"""A reader of stretches over a log in memory, with the same promises as the one over Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cdc_cli.consume import Partition, RawRecord
from cdc_cli.consume.ranges import Bounds
from cdc_cli.errors import CdcError


class Stored(NamedTuple):
    """A `RawRecord`."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]] = ()


class FakeRangeReader:
    """Implements RangeReader. `log` may grow at any time; `failures` are raised by the next polls."""

    def __init__(self, *partitions: Partition) -> None:
        self.log: dict[Partition, list[Stored]] = {partition: [] for partition in partitions}
        self.ends: dict[Partition, int] = dict.fromkeys(partitions, 0)
        self.first: dict[Partition, int] = dict.fromkeys(partitions, 0)
        self.offsets: dict[Partition, int] = {}
        self.failures: list[CdcError] = []
        self._open: dict[Partition, Bounds] = {}
        self._reached: dict[Partition, int] = {}

    def add(
        self,
        partition: Partition,
        value: bytes | None,
        key: bytes | None = b"k",
        time_ms: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        offset = self.ends[partition]
        self.log[partition].append(Stored(offset, key, value, time_ms, headers))
        self.ends[partition] = offset + 1
        return offset

    def forget(self, partition: Partition, before: int) -> None:
        self.first[partition] = before
        self.log[partition] = [record for record in self.log[partition] if record.offset >= before]

    def start(self, group: str | None) -> None:
        pass

    def partitions(self, topics: Sequence[str]) -> Sequence[Partition]:
        return [partition for topic in topics for partition in sorted(self.log) if partition.topic == topic]

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        return {p: Bounds(self.first[p], self.ends[p]) for p in partitions}

    def offsets_at(self, partitions: Sequence[Partition], time_ms: int) -> Mapping[Partition, int]:
        found = {p: [r.offset for r in self.log[p] if r.timestamp >= time_ms] for p in partitions}
        return {partition: offsets[0] for partition, offsets in found.items() if offsets}

    def peek(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, RawRecord]:
        found = {p: [r for r in self.log[p] if r.offset >= offset] for p, offset in offsets.items()}
        return {partition: records[0] for partition, records in found.items() if records}

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return {p: self.offsets[p] for p in partitions if p in self.offsets}

    def open(self, ranges: Mapping[Partition, Bounds]) -> None:
        self._open = dict(ranges)
        self._reached = {p: r.first for p, r in ranges.items()}

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        if self.failures:
            raise self.failures.pop(0)
        found: dict[Partition, Sequence[RawRecord]] = {}
        for partition, (_, end) in self._open.items():
            records = [r for r in self.log[partition] if self._reached[partition] <= r.offset < end][:max_records]
            if records:
                found[partition] = records
                max_records -= len(records)
            self._reached[partition] = records[-1].offset + 1 if records else end
            if max_records <= 0:
                break
        return found

    def positions(self) -> Mapping[Partition, int]:
        return dict(self._reached)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.offsets.update(offsets)

    def close(self, timeout: float) -> None:
        pass
