"""The publisher over confluent-kafka (librdkafka), the faster driver: extra `confluent`.

Delivery reports run only inside `poll` and `flush`, on our thread. The local queue has no bound of its own: what
may be in flight is the caller's to decide. A fatal error needs a new producer, which is what `rotate` makes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from cdc_cli.brokers.confluent_errors import Reasons, translate
from cdc_cli.errors import CdcError, Retryable
from cdc_cli.publish import Delivery, Headers, Record
from cdc_cli.publish.burst import Burst
from cdc_cli.publish.partition import partition_of
from cdc_cli.publish.size import refuse_too_large
from cdc_cli.settings.models import KafkaSettings

log = logging.getLogger(__name__)

_METADATA_SECONDS = 15.0
_CONNECT_SECONDS = 8.0


class _Report:
    """The fate of one record; librdkafka calls `settle`."""

    __slots__ = ("exception", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self.exception: BaseException | None = None

    def settle(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self.exception = KafkaException(error)
        self.is_done = True

    def fail(self, error: BaseException) -> None:
        """librdkafka never had it."""
        self.exception = error
        self.is_done = True


_Addressed = tuple[str, bytes | None, bytes | None, Headers, int]
"""Topic, key, value, headers, partition."""


class ConfluentPublisher:
    """A `Publisher`; one thread sends and polls."""

    def __init__(self, options: Mapping[str, Any], settings: KafkaSettings) -> None:
        self._options = {
            **options,
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": 2**31 - 1,
            "message.max.bytes": settings.create_topics.max_message_size,
            "linger.ms": settings.producer.linger * 1000,
            "batch.size": settings.producer.batch_size,
            "compression.type": settings.producer.compression,
            "allow.auto.create.topics": False,
            "queue.buffering.max.messages": 0,
            "queue.buffering.max.kbytes": 2**31 - 1,
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 3,
        }
        self._largest = settings.create_topics.max_message_size
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._burst = Burst(self._give)

    def start(self) -> None:
        reasons = Reasons()
        try:
            self._producer = Producer({**self._options, "error_cb": reasons.note}, logger=log)
            self._producer.list_topics(timeout=_CONNECT_SECONDS)
        except Exception as exc:
            if self._producer is not None:
                self._producer.poll(0)
            raise translate("connecting to Kafka", reasons.behind(exc)) from exc

    def send(self, record: Record) -> Delivery:
        topic, key, value, headers = record
        refuse_too_large(record, self._largest)
        partition = partition_of(key, self._partitions.get(topic) or self._count(topic))
        report = _Report()
        self._burst.add((topic, key, value, headers, partition), report, len(value) if value else 0)
        return report

    def _give(self, held: list[tuple[_Addressed, _Report]]) -> None:
        given = 0
        try:
            for addressed, report in held:
                self._produce(addressed, report)
                given += 1
        except BaseException:
            del held[:given]
            raise

    def _produce(self, addressed: _Addressed, report: _Report) -> None:
        topic, key, value, headers, partition = addressed
        try:
            if headers:
                self._producer.produce(topic, value, key, partition, report.settle, headers=list(headers))
            else:
                self._producer.produce(topic, value, key, partition, report.settle)
        except BufferError as exc:
            raise Retryable("librdkafka's queue is full", "the brokers take nothing: are they up?") from exc
        except Exception as exc:
            raise translate(f"publishing to Kafka topic {topic}", exc) from exc

    def explain(self, exception: BaseException) -> CdcError:
        return translate("publishing to Kafka", exception)

    def poll(self) -> None:
        self._burst.push()
        self._producer.poll(0)

    def flush(self, timeout: float) -> bool:
        self._burst.push()
        return bool(self._producer.flush(timeout) == 0)

    def rotate(self) -> None:
        self._abandon()
        self.start()

    def close(self, timeout: float) -> None:
        if self._producer is None:
            return
        if timeout > 0:
            self.flush(timeout)
        self._abandon()

    def _count(self, topic: str) -> int:
        try:
            found = self._producer.list_topics(topic, timeout=_METADATA_SECONDS).topics.get(topic)
        except Exception as exc:
            raise translate(f"looking up the partitions of Kafka topic {topic}", exc) from exc
        if found is not None and found.error is not None:
            raise translate(f"looking up Kafka topic {topic}", KafkaException(found.error))
        if found is None or not found.partitions:
            raise Retryable(f"Kafka does not know topic {topic} (yet)", "check that the topic exists")
        self._partitions[topic] = len(found.partitions)
        return len(found.partitions)

    def _abandon(self) -> None:
        """Whatever is held needs a producer, so it goes too, and topics are looked up anew before more is held."""
        self._burst.clear()
        self._partitions.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
            producer.flush(1.0)
