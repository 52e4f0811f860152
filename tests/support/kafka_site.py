"""A corner of a real broker for one test of a driver: its topics, made, filled, emptied and seen past every proxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from cdc_cli.brokers.kafka_python_client import Producer, make
from cdc_cli.settings.models import KafkaSettings
from tests.support.topics import Kept, Topics
from tests.support.waiting import eventually


def kafka_settings(bootstrap: str, **sections: Any) -> KafkaSettings:
    """`kafka:` of a configuration, with everything else at its default."""
    return KafkaSettings.model_validate({"bootstrap_servers": [bootstrap], **sections})


class KafkaSite:
    """Talks to the broker with clients of its own; use it as a context manager."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self._admin: Any = make(KafkaAdminClient, {"bootstrap_servers": bootstrap})
        self._producer: Any = None

    def create(self, name: str, partitions: int, **config: Any) -> str:
        """Make a topic (`max_message_bytes=1000`); its full name, once every broker knows it."""
        topic = self.prefix + name
        written = {key.replace("_", "."): str(value) for key, value in config.items()}
        self._admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=written)])
        self._admin.wait_for_topics([topic])
        return topic

    def delete(self, topic: str) -> None:
        self._admin.delete_topics([topic])
        eventually(lambda: topic not in self._admin.list_topics())

    def add_partitions(self, topic: str, total: int) -> None:
        """Returns when the broker tells everybody of them."""

        def known() -> bool:
            with Topics(self.bootstrap) as topics:
                return len(topics.partitions([topic])) == total

        self._admin.create_partitions({topic: total})
        eventually(known)

    def exists(self, topic: str) -> bool:
        return topic in self._admin.list_topics()

    def read(self, topic: str) -> list[Kept]:
        """Everything that is kept now, in order within each partition."""
        with Topics(self.bootstrap) as topics:
            return topics.read([topic])

    def produce(self, topic: str, values: Sequence[bytes | None], partition: int = 0, key: bytes | None = None) -> None:
        """Append to one partition and wait for the acknowledgements."""
        if self._producer is None:
            self._producer = make(Producer, {"bootstrap_servers": self.bootstrap})
        sent = [self._producer.send(topic, value, key, partition=partition) for value in values]
        for future in sent:
            future.get(timeout=20)

    def forget(self, topic: str, before: int, partition: int = 0) -> None:
        """Remove the records before that offset, as retention does."""
        self._admin.delete_records({TopicPartition(topic, partition): before})

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(5)
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
