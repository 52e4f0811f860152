"""Dead letters of `cdc sync`: records that cannot be written, kept whole in a topic of their own.

A record counts as done only after Kafka has acknowledged its dead letter. When more than `max_fraction` of what
is processed fails, that is an outage or a wrong configuration and no poison: the process stops instead of
draining the topic into the dead letters.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from cdc_cli import failpoints
from cdc_cli.clock import Clock
from cdc_cli.consume import Partition, RawRecord
from cdc_cli.errors import CdcError, ExitCode, Fatal, Retryable
from cdc_cli.observe.log import EventLog
from cdc_cli.publish import Delivery, Publisher, Record
from cdc_cli.publish.dead_letter import Origin, dead_letter
from cdc_cli.retry import Backoff, Stopped

log = EventLog(__name__)

_WINDOW = 1000
"""Records at least over which the fraction is taken: one failure among three is no outage."""


class Failed(NamedTuple):
    """What could not be written, and why."""

    source: object
    error: CdcError


class DeadLetters:
    """Publishes dead letters and waits for their acknowledgement; shared by all lanes."""

    def __init__(
        self,
        publisher: Publisher,
        topic: str,
        max_fraction: float,
        stop_on_error: bool,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        self._publisher = publisher
        self._topic = topic
        self._max_fraction = max_fraction
        self._stop_on_error = stop_on_error
        self._backoff = backoff
        self._clock = clock
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._started = False
        self._seen = self._dead = 0

    def bury(
        self, failed: Sequence[tuple[Partition, RawRecord, CdcError]], seen: int, abandon: threading.Event
    ) -> None:
        """Of `seen` records these failed. Blocks for Kafka; raises Stopped, Fatal (too many, or `on_error: stop`)."""
        with self._counting:
            self._count(seen, failed)
        if not failed:
            return
        with self._lock:
            for partition, record, error in failed:
                self._tell(partition, record, error)
            while not abandon.is_set():
                try:
                    failpoints.hit("dead_letter.before_publish")
                    self._publish([self._letter(*failure) for failure in failed], abandon)
                    failpoints.hit("dead_letter.after_publish")
                    self._backoff.succeeded()
                    return
                except Retryable as error:
                    abandon.wait(self._backoff.failed(error))
                    self._started = False
            raise Stopped("publishing dead letters")

    def close(self, timeout: float) -> None:
        """Let go of the producer; never raises."""
        self._publisher.close(timeout)

    def _tell(self, partition: Partition, record: RawRecord, error: CdcError) -> None:
        where = f"{partition.topic} partition {partition.number} offset {record.offset}"
        if self._stop_on_error:
            raise Fatal(
                f"the record at {where} cannot be written and syncer.on_error is stop: {error.message}",
                error.hint or "mend the cause, or set syncer.on_error to dead_letter",
                error.code,
                ExitCode.BAD_DATA,
            ) from error
        log.error(
            "event.dead_lettered",
            "the record at %s goes to %s: %s",
            where,
            self._topic,
            error.message,
            code=error.code,
            topic=partition.topic,
            partition=partition.number,
            offset=record.offset,
        )

    def _letter(self, partition: Partition, record: RawRecord, error: CdcError) -> Record:
        origin = Origin(partition.topic, partition.number, record.offset, record.timestamp)
        return dead_letter(
            self._topic,
            record.key,
            record.value,
            error,
            "consume" if error.code.startswith("envelope.") else "apply",
            self._clock.time(),
            origin,
            earlier=tuple(record.headers or ()),
        )

    def _publish(self, records: Sequence[Record], abandon: threading.Event) -> None:
        if not self._started:
            self._publisher.rotate()
            self._started = True
        deliveries = [self._publisher.send(record) for record in records]
        waited = 0.0
        while not all(self._is_done(delivery) for delivery in deliveries):
            if abandon.wait(0.005):
                raise Stopped("publishing dead letters")
            self._publisher.poll()
            waited += 0.005
            if waited > 60:
                raise Retryable("Kafka does not acknowledge dead letters", "are the brokers up?", "kafka.silent")

    def _is_done(self, delivery: Delivery) -> bool:
        if delivery.exception is not None:
            error = self._publisher.explain(delivery.exception)
            if isinstance(error, Retryable):
                raise error
            raise Fatal(
                f"a dead letter cannot be published: {error.message}",
                f"check the topic {self._topic} and its max.message.bytes",
                error.code,
                error.exit_code,
            ) from delivery.exception
        return delivery.is_done

    def _count(self, seen: int, failed: Sequence[object]) -> None:
        self._seen += seen
        self._dead += len(failed)
        if failed and self._dead > self._max_fraction * max(self._seen, _WINDOW):
            raise Fatal(
                f"{self._dead} of the last {self._seen} records cannot be written, more than "
                f"dead_letter.max_fraction ({self._max_fraction:g}) allows: this is no single bad event",
                "see the errors above; nothing was passed over, the records are read again at the next start",
                "dead_letters.too_many",
                ExitCode.BAD_DATA,
            )
        if self._seen >= 10 * _WINDOW:
            self._seen //= 2
            self._dead //= 2
