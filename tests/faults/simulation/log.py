"""Kafka's log and a producer with the habits of the real one: idempotent, in order per partition, and fragile.

A batch that fails takes everything behind it in its partition with it; one record that the broker refuses for good
makes the whole producer useless, with the first record's error; a silent producer never answers again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cdc_cli.errors import CdcError, PoisonEvent, Retryable
from cdc_cli.publish import Delivery, Record
from cdc_cli.publish.partition import partition_of
from tests.faults.history import Acked, Appended, Buried, Missing, Place

if TYPE_CHECKING:
    from tests.faults.simulation.scheduler import Process
    from tests.faults.simulation.world import World

DEAD_LETTERS = "cdc.dead-letters"


class Kept(NamedTuple):
    """A record in the log, in the shape of `RawRecord`."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


class Refused(Exception):
    """The broker will never take this record."""


class Failed(Exception):
    """The broker, or the way to it, failed."""


class Log:
    """The brokers' disks: they survive everything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.partitions: dict[Place, list[Kept]] = {}
        self.down_until = 0.0

    def append(self, life: int, topic: str, record: Record) -> None:
        """The record is kept from now on."""
        count = 1 if topic == DEAD_LETTERS else self._world.plan.partitions
        place = (topic, partition_of(record.key, count))
        kept = self.partitions.setdefault(place, [])
        offset = len(kept)
        kept.append(Kept(offset, record.key, record.value, int(self._world.scheduler.time() * 1000), record.headers))
        if topic == DEAD_LETTERS:
            return
        position, document, is_missing = described(record.value)
        if is_missing and position is not None:
            self._world.record(Missing(position))
        self._world.record(Appended(life, place, offset, record.key, position, document))

    def acknowledge(self, record: Record) -> None:
        """A producer that lives has been told that the record is kept."""
        if record.topic == DEAD_LETTERS:
            headers = {name: data.decode() for name, data in record.headers}
            code = headers["cdc.error.code"]
            if "cdc.origin.topic" in headers:
                place = (headers["cdc.origin.topic"], int(headers["cdc.origin.partition"]))
                self._world.record(Buried(None, place, int(headers["cdc.origin.offset"]), code))
                return
            self._world.record(Buried(headers["cdc.position"], None, None, code))
            self._world.record(Acked(headers["cdc.position"]))
            return
        position, _, _ = described(record.value)
        if position is not None:
            self._world.record(Acked(position))


def described(value: bytes | None) -> tuple[str | None, str | None, bool]:
    """Position, document and whether it was missing, read without the product's decoder; None where it is junk."""
    try:
        event = json.loads(value or b"")
        collection = event["ns"].split(".", 1)[1]
        return event["pos"], f"{collection}/{_identity(event['id'])}", bool(event.get("missing"))
    except (ValueError, KeyError, TypeError):
        return None, None, False


def _identity(id_: Any) -> str:
    if isinstance(id_, dict):
        return f"objectId/{id_['$oid']}"
    kinds = {bool: "bool", int: "number", str: "string"}
    return f"{kinds[type(id_)]}/{json.dumps(id_) if not isinstance(id_, str) else id_}"


class SimDelivery:
    """Implements Delivery."""

    __slots__ = ("exception", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self.exception: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.exception = error
        self.is_done = True


class _Producer:
    """One generation: what `rotate` throws away."""

    def __init__(self, world: World, process: Process, life: int) -> None:
        self._world = world
        self._process = process
        self._life = life
        self._waiting: dict[Place, deque[tuple[Record, SimDelivery]]] = {}
        self._busy: set[Place] = set()
        self._broken: dict[Place, Failed] = {}
        self._fatal: Refused | None = None
        self.under_way: set[SimDelivery] = set()
        self.is_abandoned = False
        self.is_silent = False

    def send(self, record: Record) -> SimDelivery:
        delivery = SimDelivery()
        count = 1 if record.topic == DEAD_LETTERS else self._world.plan.partitions
        place = (record.topic, partition_of(record.key, count))
        error = self._fatal or self._broken.get(place)
        if error is not None:
            delivery.fail(error)
            return delivery
        self.under_way.add(delivery)
        self._waiting.setdefault(place, deque()).append((record, delivery))
        self._wake(place)
        return delivery

    def _wake(self, place: Place) -> None:
        if place not in self._busy:
            self._busy.add(place)
            self._world.scheduler.later(self._world.latency("kafka.slow"), lambda: self._transmit(place))

    def _transmit(self, place: Place) -> None:
        """The next batch of a partition reaches the broker, or does not. One at a time per partition."""
        world, waiting = self._world, self._waiting[place]
        if not waiting or self._fatal:
            self._busy.discard(place)
            return
        if self.is_abandoned or self._process.is_dead:
            self._straggle(waiting)
            return
        if self.is_silent or world.log.down_until > world.scheduler.now:
            world.scheduler.later(0.1 + 0.2 * world.draw.random(), lambda: self._transmit(place))
            return
        batch = [waiting.popleft() for _ in range(min(len(waiting), world.draw.choice((1, 2, 5, 20))))]
        batch = self._refuse(batch)
        if world.happens("kafka.fails", 0.04):
            self._fail(place, batch)
            return
        self._keep(batch)
        if world.happens("kafka.silent", 0.02):
            self.is_silent = True
        world.scheduler.later(world.latency("kafka.slow"), lambda: self._answer(place, batch))

    def _straggle(self, waiting: deque[tuple[Record, SimDelivery]]) -> None:
        """What was on the wire when the producer was given up or its process died may still arrive, from the front."""
        if waiting and self._world.draw.random() < 0.5:
            self._keep([waiting.popleft() for _ in range(self._world.draw.randint(1, len(waiting)))])
        waiting.clear()

    def _keep(self, batch: list[tuple[Record, SimDelivery]]) -> None:
        for record, _ in batch:
            self._world.log.append(self._life, record.topic, record)

    def _refuse(self, batch: list[tuple[Record, SimDelivery]]) -> list[tuple[Record, SimDelivery]]:
        """Cut the batch before the first record that the broker refuses; that one makes the producer fatal."""
        for at, (record, _) in enumerate(batch):
            if record.topic != DEAD_LETTERS and b'"plant":"refused"' in (record.value or b""):
                self._fatal = Refused("MessageSizeTooLargeError")
                self._world.note("the broker refuses a record, the producer is fatal")
                self._world.scheduler.later(0.001, partial(self._fail_all, batch[at:]))
                return batch[:at]
        return batch

    def _fail_all(self, batch: list[tuple[Record, SimDelivery]]) -> None:
        assert self._fatal is not None
        everything = [*batch, *(item for waiting in self._waiting.values() for item in waiting)]
        for _, delivery in everything:
            self.under_way.discard(delivery)
            delivery.fail(self._fatal)
        for waiting in self._waiting.values():
            waiting.clear()

    def _fail(self, place: Place, batch: list[tuple[Record, SimDelivery]]) -> None:
        """A failed batch: kept or not, and nothing behind it in this partition is kept any more."""
        if self._world.draw.random() < 0.5:
            self._keep(batch)
        error = self._broken[place] = Failed("KafkaTimeoutError")
        for _, delivery in [*batch, *self._waiting[place]]:
            self.under_way.discard(delivery)
            delivery.fail(error)
        self._waiting[place].clear()

    def _answer(self, place: Place, batch: list[tuple[Record, SimDelivery]]) -> None:
        if self.is_silent or self.is_abandoned or self._process.is_dead:
            self._transmit(place)
            return
        if self._process.stalled_until > self._world.scheduler.now:
            self._world.scheduler.later(
                self._process.stalled_until - self._world.scheduler.now, lambda: self._answer(place, batch)
            )
            return
        for record, delivery in batch:
            self._world.log.acknowledge(record)
            self.under_way.discard(delivery)
            delivery.is_done = True
        self._busy.discard(place)
        if self._waiting[place]:
            self._wake(place)


class SimPublisher:
    """Implements Publisher for one process."""

    def __init__(self, world: World, process: Process, life: int) -> None:
        self._world = world
        self._process = process
        self._life = life
        self._producer: _Producer | None = None

    def start(self) -> None:
        self._process.check()
        self._world.scheduler.sleep(self._world.latency("kafka.slow"))
        if self._is_down():
            raise Retryable("connecting to Kafka: no brokers", code="kafka.unreachable")
        self._producer = _Producer(self._world, self._process, self._life)

    def send(self, record: Record) -> Delivery:
        self._process.check()
        assert self._producer is not None
        if self._world.happens("kafka.refuses_send", 0.02):
            raise Retryable("publishing to Kafka: no metadata", code="kafka.metadata")
        self._world.crash_point(self._process, "sending")
        return self._producer.send(record)

    def explain(self, exception: BaseException) -> CdcError:
        if isinstance(exception, Refused):
            return PoisonEvent(str(exception), code="kafka.record_too_large")
        return Retryable(f"publishing to Kafka: {exception}", code="kafka.failed")

    def poll(self) -> None:
        self._process.check()

    def flush(self, timeout: float) -> bool:
        """True when nothing is under way any more, whatever became of it."""
        scheduler = self._world.scheduler
        end = scheduler.now + timeout
        while self._producer and self._producer.under_way and scheduler.now < end:
            scheduler.sleep(0.02)
        return not (self._producer and self._producer.under_way)

    def rotate(self) -> None:
        self.close(0)
        self.start()

    def close(self, timeout: float) -> None:
        if self._producer is not None and timeout > 0:
            self.flush(timeout)
        if self._producer is not None:
            self._producer.is_abandoned = True

    def _is_down(self) -> bool:
        return self._world.log.down_until > self._world.scheduler.now
