"""Events written to Kafka by hand: with the timestamps that a test wants, and records that are no events at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from cdc_cli.envelope import Encoder
from cdc_cli.events import ChangeEvent, Operation, Position
from cdc_cli.publish.partition import partition_of


class Journal:
    """One topic; `partitions` of them. Use `close()`."""

    def __init__(self, bootstrap: str, topic: str, partitions: int = 2) -> None:
        self.topic = topic
        self._partitions = partitions
        self._admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self._admin.create_topics([NewTopic(topic, partitions, 1)])
        self._admin.wait_for_topics([topic])
        self._producer = KafkaProducer(bootstrap_servers=bootstrap)
        self._encoder = Encoder()
        self._clock = 1_700_000_000

    def event(
        self, namespace: str, id_: Any, document: Mapping[str, Any] | None, time_ms: int | None = None
    ) -> Position:
        """The next event of history: an insert, or a delete where `document` is None."""
        self._clock += 1
        position = Position(self._clock, 1, 0)
        database, collection = namespace.split(".", 1)
        operation = Operation.DELETE if document is None else Operation.INSERT
        whole = None if document is None else {"_id": id_, **document}
        key, value = self._encoder.encode(
            ChangeEvent(operation, database, collection, id_, position, self._clock * 1000, whole)
        )
        self.record(key, value, time_ms)
        return position

    def record(
        self,
        key: bytes | None,
        value: bytes | None,
        time_ms: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> tuple[int, int]:
        """Any record; (partition, offset) once Kafka has it."""
        number = partition_of(key, self._partitions)
        sent = self._producer.send(
            self.topic, value, key, headers=list(headers), partition=number, timestamp_ms=time_ms
        )
        return number, sent.get(timeout=20).offset

    def forget(self, partition: int, before: int) -> None:
        """Remove records, as the retention of the topic does."""
        self._admin.delete_records({TopicPartition(self.topic, partition): before})

    def close(self) -> None:
        self._producer.close(timeout=5)
        self._admin.close()
