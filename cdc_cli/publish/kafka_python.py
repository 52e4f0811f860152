"""The publisher over kafka-python 3 (the default driver).

Known of 3.0.12 and worked around here: a batch that expires after it was sent once leaves the producer without
an id for ever, so nothing ever expires (`delivery_timeout_ms` at its maximum) and a producer without progress is
rotated; one refused record makes an idempotent producer fail every later one, so any failure rotates too;
`close()` may block and leave the sender alive, so the sender is forced to end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import TopicPartition

from cdc_cli.brokers.kafka_python_client import Producer, make
from cdc_cli.brokers.kafka_python_errors import translate
from cdc_cli.clock import Clock
from cdc_cli.errors import CdcError, Retryable
from cdc_cli.publish import Delivery, Record
from cdc_cli.publish.burst import Burst
from cdc_cli.publish.kafka_python_batches import Addressed, Report, Sizes, append
from cdc_cli.publish.partition import partition_of
from cdc_cli.publish.size import refuse_too_large
from cdc_cli.settings.models import KafkaSettings

log = logging.getLogger(__name__)

_NEVER_MS = 2**31 - 1
_LOOK_EVERY = 0.002


class KafkaPythonPublisher:
    """A `Publisher`; one thread sends, any thread may close."""

    def __init__(self, options: Mapping[str, Any], settings: KafkaSettings, clock: Clock) -> None:
        self._options = {
            "max_block_ms": 15_000,
            **options,
            "acks": "all",
            "enable_idempotence": True,
            "delivery_timeout_ms": _NEVER_MS,
            "max_request_size": settings.create_topics.max_message_size,
            "linger_ms": int(settings.producer.linger * 1000),
            "batch_size": settings.producer.batch_size,
            "compression_type": None
            if settings.producer.compression == "none"
            else settings.producer.compression,
            "allow_auto_create_topics": False,
            "reconnect_backoff_max_ms": 2_000,
            "metrics_enabled": False,
        }
        self._largest = settings.create_topics.max_message_size
        self._producer: Any = None
        self._places: dict[str, list[TopicPartition]] = {}
        self._pause = threading.Event()
        self._burst = Burst(self._give)
        self._sizes = Sizes()
        self._clock = clock

    def start(self) -> None:
        try:
            self._producer = make(Producer, self._options)
        except Exception as exc:
            raise translate("connecting to Kafka", exc) from exc

    def send(self, record: Record) -> Delivery:
        topic, key, value, headers = record
        refuse_too_large(record, self._largest)
        places = self._places.get(topic) or self._look_up(topic)
        report = Report()
        place = places[partition_of(key, len(places))]
        self._burst.add((place, (key, value, headers, report)), report, len(value) if value else 0)
        return report

    def _give(self, held: list[tuple[tuple[TopicPartition, Addressed], Report]]) -> None:
        by_place: defaultdict[TopicPartition, list[Addressed]] = defaultdict(list)
        for (place, record), _ in held:
            by_place[place].append(record)
        try:
            for place, records in by_place.items():
                append(self._producer, place, records, self._sizes, self._clock)
            self._producer._sender.wakeup()
        except Exception as exc:
            held[:] = [item for item in held if not item[1].is_given]
            raise translate("publishing to Kafka", exc) from exc

    def explain(self, exception: BaseException) -> CdcError:
        return translate("publishing to Kafka", exception)

    def poll(self) -> None:
        """The driver's own thread completes the deliveries."""
        self._burst.push()

    def flush(self, timeout: float) -> bool:
        """The driver's own flush takes its timeout once per batch, so that it only begins here."""
        self._burst.push()
        if self._producer is None:
            return True
        accumulator, deadline = self._producer._accumulator, time.monotonic() + timeout
        with _hurry(self._producer):
            while accumulator.has_incomplete:
                if time.monotonic() >= deadline:
                    return False
                self._pause.wait(_LOOK_EVERY)
        return True

    def rotate(self) -> None:
        self._abandon()
        self.start()

    def close(self, timeout: float) -> None:
        if self._producer is None:
            return
        if timeout > 0:
            self.flush(timeout)
        self._abandon()

    def _look_up(self, topic: str) -> list[TopicPartition]:
        """The topic's partitions, by number; blocks for metadata the first time."""
        if self._producer is None:
            raise Retryable("there is no connection to Kafka", "the last attempt to make one failed")
        try:
            found = self._producer.partitions_for(topic)
        except Exception as exc:
            raise translate(f"looking up the partitions of Kafka topic {topic}", exc) from exc
        if not found:
            raise Retryable(f"Kafka does not know topic {topic} (yet)", "check that the topic exists")
        places = self._places[topic] = [TopicPartition(topic, number) for number in range(len(found))]
        return places

    def _abandon(self) -> None:
        """End the producer whatever its state; its own close() may wait for a broker that never answers.

        Whatever is held needs a producer, so it goes too, and topics are looked up anew before more is held.
        """
        self._burst.clear()
        self._places.clear()
        producer, self._producer = self._producer, None
        if producer is None:
            return
        sender = producer._sender
        sender.force_close()
        closer = threading.Thread(
            target=_close_quietly, args=(producer,), name="cdc-producer-close", daemon=True
        )
        closer.start()
        closer.join(2.0)
        sender.join(2.0)


@contextmanager
def _hurry(producer: Any) -> Iterator[None]:
    """Batches do not wait for more records meanwhile, whatever `linger_ms` says."""
    producer._accumulator.begin_flush()
    try:
        producer._sender.wakeup()
        yield
    finally:
        producer._accumulator._flushes_in_progress.decrement()


def _close_quietly(producer: Any) -> None:
    try:
        producer.close(timeout=0.5)
    except Exception as exc:
        log.debug("closing the abandoned producer: %s", exc)
