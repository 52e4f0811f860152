"""A Publisher in memory that keeps the whole contract, and the broker behind it, which can be told to misbehave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cdc_cli.errors import CdcError, Fatal, PoisonEvent, Retryable
from cdc_cli.publish import Delivery, Record
from cdc_cli.publish.partition import partition_of


class Stored(NamedTuple):
    """A record in the log of one partition."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass
class FakeBroker:
    """Topics and their logs, shared by all publishers on it. Without `answers` it takes nothing and says nothing."""

    answers: bool = True
    logs: dict[str, list[list[Stored]]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)

    def create(self, topic: str, partitions: int, max_bytes: int | None = None) -> None:
        self.logs[topic] = [[] for _ in range(partitions)]
        if max_bytes is not None:
            self.limits[topic] = max_bytes

    def delete(self, topic: str) -> None:
        del self.logs[topic]

    def read(self, topic: str) -> list[Stored]:
        return [stored for log in self.logs[topic] for stored in log]


class FakeDelivery:
    """A `Delivery` that the broker settles, or that nobody ever settles."""

    def __init__(self, record: Record, partition: int) -> None:
        self.record = record
        self.partition = partition
        self.is_done = False
        self.exception: BaseException | None = None

    def settle(self, exception: BaseException | None = None) -> None:
        self.exception = exception
        self.is_done = True


class FakePublisher:
    """Hands over what is under way whenever it is polled; like a real idempotent producer it is of no use any
    more after one refused record, until it is rotated.
    """

    def __init__(self, broker: FakeBroker, largest: int = 1 << 20) -> None:
        self._broker = broker
        self._largest = largest
        self._under_way: list[FakeDelivery] = []
        self._broken: PoisonEvent | None = None
        self._is_started = False

    def start(self) -> None:
        if not self._broker.answers:
            raise Retryable("connecting to the fake broker: it does not answer")
        self._is_started = True

    def send(self, record: Record) -> Delivery:
        if len(record.key or b"") + len(record.value or b"") > self._largest:
            raise PoisonEvent("the record is too large", code="kafka.record_too_large")
        if not self._is_started or record.topic not in self._broker.logs:
            raise Retryable(f"the fake broker does not know topic {record.topic}")
        delivery = FakeDelivery(record, partition_of(record.key, len(self._broker.logs[record.topic])))
        self._under_way.append(delivery)
        return delivery

    def explain(self, exception: BaseException) -> CdcError:
        return exception if isinstance(exception, CdcError) else Fatal(f"unexpected {exception!r}")

    def poll(self) -> None:
        waiting: list[FakeDelivery] = []
        for delivery in self._under_way:
            if not self._broker.answers or delivery.record.topic not in self._broker.logs:
                waiting.append(delivery)
            else:
                self._deliver(delivery)
        self._under_way = waiting

    def flush(self, timeout: float) -> bool:
        self.poll()
        return not self._under_way

    def rotate(self) -> None:
        self._abandon()
        self.start()

    def close(self, timeout: float) -> None:
        if timeout > 0:
            self.poll()
        self._abandon()

    def _deliver(self, delivery: FakeDelivery) -> None:
        topic, key, value, headers = delivery.record
        if self._broken is None and len(value or b"") > self._broker.limits.get(topic, self._largest):
            self._broken = PoisonEvent("the fake broker refused this record", code="kafka.record_refused")
        if self._broken is None:
            self._broker.logs[topic][delivery.partition].append(
                Stored(delivery.partition, key, value, tuple(headers))
            )
        delivery.settle(self._broken)

    def _abandon(self) -> None:
        self._under_way.clear()
        self._broken = None
        self._is_started = False
