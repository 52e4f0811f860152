"""The range reader over kafka-python: `assign`, `seek`, and a fixed end.

The end of a partition is what a fetch says (the high watermark), not only what ListOffsets says: the broker in
memory names the beginning of its last batch there. Positions are the driver's own, because a stretch may end
with offsets that hold no record (transaction markers, compaction). Asked for a time, the broker in memory names
the beginning of its log: there `--since` reads more than it has to, and `--until` finds nothing.

Partitions that are done are taken out of the assignment and never paused: kafka-python 3.0.12 parks what it had
fetched of a paused partition, and as long as others are read it never takes it up again after a resume.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from cdc_cli.brokers.kafka_python_client import make
from cdc_cli.brokers.kafka_python_errors import translate
from cdc_cli.consume import Partition, RawRecord
from cdc_cli.consume.kafka_python_records import read_quickly
from cdc_cli.consume.ranges import Bounds
from cdc_cli.errors import CdcError, PositionLost, Retryable
from cdc_cli.observe.log import EventLog

_T = TypeVar("_T")
log = EventLog(__name__)

_TIMEOUT_MS = 15_000
_PEEK_SECONDS = 15.0
_PEEK_RECORDS = 500


class KafkaPythonRangeReader:
    """A `RangeReader`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {
            **options,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "allow_auto_create_topics": False,
            "fetch_max_bytes": 16 << 20,
            "max_partition_fetch_bytes": 2 << 20,
            "fetch_max_wait_ms": 250,
            "reconnect_backoff_max_ms": 2_000,
            "metrics_enabled": False,
        }
        self._driver: Any = None
        self._ranges: dict[Partition, Bounds] = {}
        self._reached: dict[Partition, int] = {}

    def start(self, group: str | None) -> None:
        try:
            self._driver = make(KafkaConsumer, {**self._options, "group_id": group})
            read_quickly(self._driver)
        except Exception as exc:
            raise translate("connecting to Kafka", exc) from exc

    def partitions(self, topics: Sequence[str]) -> Sequence[Partition]:
        def ask() -> list[Partition]:
            return [Partition(t, n) for t in topics for n in sorted(self._driver.partitions_for_topic(t) or ())]

        return self._guarded("looking up partitions", ask)

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        def ask() -> dict[Partition, Bounds]:
            wanted = [TopicPartition(*p) for p in partitions]
            first = self._driver.beginning_offsets(wanted, timeout_ms=_TIMEOUT_MS)
            end = self._driver.end_offsets(wanted, timeout_ms=_TIMEOUT_MS)
            return {Partition(*p): Bounds(first[p], end[p]) for p in wanted}

        found = self._guarded("looking up the offsets that Kafka keeps", ask)
        marks = self._look({p: b.end - 1 for p, b in found.items() if b.end > b.first}, self._highwater)
        return {p: Bounds(b.first, max(b.end, marks.get(p) or 0)) for p, b in found.items()}

    def offsets_at(self, partitions: Sequence[Partition], time_ms: int) -> Mapping[Partition, int]:
        def ask() -> dict[Partition, int]:
            wanted = {TopicPartition(*p): time_ms for p in partitions}
            found = self._driver.offsets_for_times(wanted, timeout_ms=_TIMEOUT_MS)
            return {Partition(*p): at.offset for p, at in found.items() if at is not None and at.timestamp >= 0}

        return self._guarded("looking up offsets by time", ask)

    def peek(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, RawRecord]:
        found = self._look(offsets, lambda partition, records: records[0] if records else None)
        return {partition: record for partition, record in found.items() if record is not None}

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        def ask() -> dict[Partition, int]:
            found = {p: self._driver.committed(TopicPartition(*p), timeout_ms=_TIMEOUT_MS) for p in partitions}
            return {p: offset for p, offset in found.items() if offset is not None and offset >= 0}

        return self._guarded("reading the offsets of the dead letters", ask)

    def open(self, ranges: Mapping[Partition, Bounds]) -> None:
        self._ranges = {p: r for p, r in ranges.items() if r.end > r.first}
        self._reached = {p: r.first for p, r in ranges.items()}
        self._assign({p: r.first for p, r in self._ranges.items()})

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        if not self._ranges:
            return {}
        fetched = self._fetch(timeout, max_records)
        found: dict[Partition, Sequence[RawRecord]] = {}
        done = set()
        for partition, (_, end) in self._ranges.items():
            records = fetched.get(partition, ())
            if records and records[-1].offset >= end:
                records = [record for record in records if record.offset < end]
            if records:
                found[partition] = records
            self._reached[partition] = min(end, self._position(partition))
            if self._reached[partition] == end:
                done.add(partition)
        if done:
            self._ranges = {p: r for p, r in self._ranges.items() if p not in done}
            self._keep(self._ranges)
        return found

    def positions(self) -> Mapping[Partition, int]:
        return dict(self._reached)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        wanted = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        if wanted:
            self._guarded(
                "storing the offsets of the dead letters",
                lambda: self._driver.commit(wanted, timeout_ms=_TIMEOUT_MS),
            )

    def close(self, timeout: float) -> None:
        driver, self._driver = self._driver, None
        if driver is None:
            return
        try:
            driver.close(autocommit=False, timeout_ms=int(timeout * 1000))
        except Exception as exc:
            log.debug("reader.close_failed", "closing the reader: %s", exc)

    def _look(
        self, offsets: Mapping[Partition, int], answer: Callable[[Partition, Sequence[RawRecord]], _T]
    ) -> dict[Partition, _T]:
        """Fetch at each offset and keep the answer to what comes first."""
        found: dict[Partition, _T] = {}
        self._assign(offsets)
        until = time.monotonic() + _PEEK_SECONDS
        while missing := offsets.keys() - found.keys():
            self._keep(missing)
            fetched = self._fetch(0.25, _PEEK_RECORDS)
            for partition in missing:
                records = fetched.get(partition, ())
                if records or self._position(partition) > offsets[partition]:
                    found[partition] = answer(partition, records)
            if not fetched and time.monotonic() > until:
                topic, number = min(missing)
                raise Retryable(
                    f"Kafka does not deliver {topic} partition {number}",
                    "check that the brokers are up, and that this user may read the topic",
                    "kafka.silent",
                )
        return found

    def _assign(self, offsets: Mapping[Partition, int]) -> None:
        def seek() -> None:
            for partition, offset in offsets.items():
                self._driver.seek(TopicPartition(*partition), offset)

        self._keep(offsets)
        self._guarded("positioning the reader", seek)

    def _keep(self, partitions: Collection[Partition]) -> None:
        """Assign these; those that were assigned before keep their positions."""
        if partitions:
            wanted = [TopicPartition(*p) for p in sorted(partitions)]
            self._guarded("assigning partitions", lambda: self._driver.assign(wanted))

    def _fetch(self, timeout: float, max_records: int) -> dict[Partition, Sequence[RawRecord]]:
        try:
            found = self._driver.poll(timeout_ms=int(timeout * 1000), max_records=max_records)
        except kafka_errors.OffsetOutOfRangeError as exc:
            raise PositionLost(
                f"Kafka removed records while they were being read ({exc})",
                "make the plan again: it shows what is still kept",
                "offset.out_of_range",
            ) from exc
        except Exception as exc:
            raise translate("reading from Kafka", exc) from exc
        return {Partition(*p): records for p, records in found.items()}

    def _position(self, partition: Partition) -> int:
        """Where the driver stands. Its own `position()` would ask the brokers, for every partition and poll."""
        state = self._driver._subscription.assignment[TopicPartition(*partition)].position
        return int(state.offset) if state is not None else 0

    def _highwater(self, partition: Partition, _records: Sequence[RawRecord]) -> int:
        return self._driver.highwater(TopicPartition(*partition)) or 0

    def _guarded(self, doing: str, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except CdcError:
            raise
        except Exception as exc:
            raise translate(doing, exc) from exc
