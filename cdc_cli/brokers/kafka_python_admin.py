"""Topics by kafka-python's admin client; both drivers use it, since it is not on the path of an event."""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, NewTopic

from cdc_cli.brokers.kafka_python_client import make
from cdc_cli.brokers.kafka_python_errors import reason, translate
from cdc_cli.errors import ConfigError
from cdc_cli.settings.models import TopicSettings

_T = TypeVar("_T")


class KafkaPythonAdmin:
    """A `TopicAdmin`; connects at first use, safe to share between threads."""

    def __init__(self, options: Mapping[str, Any], settings: TopicSettings) -> None:
        self._options = dict(options)
        self._settings = settings
        self._client: KafkaAdminClient | None = None
        self._lock = threading.Lock()

    def ensure(self, topics: Collection[str]) -> None:
        missing = sorted(set(topics) - self.names())
        if not missing:
            return
        if not self._settings.enabled:
            raise ConfigError(
                f"Kafka has no topic {', '.join(missing)} and kafka.create_topics.enabled is false",
                "create the topics, or let cdc create them",
                "kafka.topic_missing",
            )
        self._call(f"creating the Kafka topics {', '.join(missing)}", lambda c: self._create(c, missing))

    def names(self) -> frozenset[str]:
        listed = self._call("listing Kafka's topics", lambda client: client.list_topics())
        return frozenset(name for name in listed if not name.startswith("__"))

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        wanted = sorted(topics)
        found = self._call("asking for the ids of Kafka's topics", lambda client: client.describe_topics(wanted))
        return {
            topic["name"]: id_
            for topic in found
            if topic["error_code"] == 0 and (id_ := topic_id(topic.get("topic_id"))) is not None
        }

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _create(self, client: KafkaAdminClient, topics: Collection[str]) -> None:
        config = {
            "retention.ms": str(int(self._settings.retention * 1000)),
            "max.message.bytes": str(self._settings.max_message_size),
            "cleanup.policy": "delete",
        }
        for topic in topics:
            new = NewTopic(
                topic, self._settings.partitions, self._settings.replication_factor, topic_configs=config
            )
            try:
                client.create_topics([new])
            except kafka_errors.TopicAlreadyExistsError:
                pass
            except kafka_errors.InvalidTopicError as exc:
                raise _refused(topic, exc) from exc
        client.wait_for_topics(list(topics), timeout_ms=15_000)

    def _call(self, doing: str, use: Callable[[KafkaAdminClient], _T]) -> _T:
        with self._lock:
            try:
                if self._client is None:
                    self._client = make(KafkaAdminClient, self._options)
                return use(self._client)
            except Exception as exc:
                raise translate(doing, exc) from exc


def topic_id(found: uuid.UUID | str | None) -> str | None:
    """A topic's id in Kafka's own spelling; None where the broker has none, which it may write as all zeros."""
    if not found:
        return None
    number = found if isinstance(found, uuid.UUID) else uuid.UUID(found)
    return base64.urlsafe_b64encode(number.bytes).rstrip(b"=").decode() if number.int else None


def _refused(topic: str, exc: Exception) -> ConfigError:
    hint = "choose another kafka.topic"
    if "collides" in str(exc):
        hint += ": Kafka takes a dot and an underscore for the same, so that names must differ in more than that"
    return ConfigError(f"Kafka takes no topic {topic} ({reason(exc)})", hint, "kafka.topic_refused")
