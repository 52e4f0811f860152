"""Kafka: brokers that let us in, enough of them for new topics, and the topics that must be there already.

Always by kafka-python, also when another client will be used: it asks the same brokers the same questions.
"""

from __future__ import annotations

from typing import Any

from kafka.admin import KafkaAdminClient

from cdc_cli.brokers.kafka_python_client import make
from cdc_cli.brokers.kafka_python_errors import translate
from cdc_cli.cli.probes import Answer
from cdc_cli.errors import ConfigError
from cdc_cli.settings.kafka_options import kafka_python_options
from cdc_cli.settings.models import Settings

_SHARE = 0.6
"""Of the time there is, for the driver; the rest is for its ending, so that its own words are heard."""


def probe(settings: Settings, seconds: float) -> Answer:
    """Reads the cluster's metadata. Blocks; raises ConfigError, Denied, Retryable."""
    limit = int(seconds * _SHARE * 1000)
    try:
        options = kafka_python_options(settings.kafka)
        own = {"client_id": "cdc-config-validate", "bootstrap_timeout_ms": limit, "request_timeout_ms": limit}
        client = make(KafkaAdminClient, {**options, **own})
        try:
            brokers = len(client.describe_cluster()["brokers"])
            topics = frozenset(client.list_topics())
            described = _partitions(client, settings, topics)
        finally:
            client.close()
    except Exception as exc:
        raise translate("connecting to Kafka", exc) from exc
    _check(settings, brokers, topics)
    noun = "1 broker" if brokers == 1 else f"{brokers} brokers"
    return Answer(f"{noun}, {len(topics)} topics; {described}")


def _partitions(client: Any, settings: Settings, topics: frozenset[str]) -> str:
    """The dead-letter topic stands for all: its description needs the right to describe."""
    name = settings.dead_letter_topic
    if name not in topics:
        return f"{name} will be created" if settings.kafka.create_topics.enabled else f"there is no {name}"
    client.describe_topics([name])
    return f"{name} is there"


def _check(settings: Settings, brokers: int, topics: frozenset[str]) -> None:
    creation = settings.kafka.create_topics
    if not creation.enabled and settings.dead_letter_topic not in topics:
        raise ConfigError(
            f"Kafka has no topic {settings.dead_letter_topic}, and kafka.create_topics.enabled is false",
            "create it, or let cdc create topics",
            "kafka.topic_missing",
        )
    if creation.enabled and creation.replication_factor > brokers:
        raise ConfigError(
            f"kafka.create_topics.replication_factor is {creation.replication_factor}, and there are only "
            f"{brokers} brokers",
            "lower it, or create the topics by hand",
            "kafka.settings",
        )
