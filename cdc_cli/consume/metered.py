"""A consumer that tells the lag meter what it reads, and else does what the one behind it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc_cli.consume import Consumer, Partition, RawRecord, Rebalance
from cdc_cli.consume.lag import LagMeter


class MeteredConsumer:
    """A `Consumer`; one thread's object."""

    def __init__(self, consumer: Consumer, meter: LagMeter) -> None:
        self._consumer = consumer
        self._meter = meter
        self.start = consumer.start
        self.close = consumer.close
        self.refresh = consumer.refresh

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        found = self._consumer.poll(timeout, max_records)
        self._meter.polled(found, self._consumer.end)
        return found

    def seek(self, partition: Partition, offset: int) -> None:
        self._meter.positioned(partition, offset)
        self._consumer.seek(partition, offset)

    def rebalance(self) -> Rebalance | None:
        return self._consumer.rebalance()

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return self._consumer.committed(partitions)

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        return self._consumer.bounds(partitions)

    def end(self, partition: Partition) -> int | None:
        return self._consumer.end(partition)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume(partitions)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._consumer.commit(offsets)
