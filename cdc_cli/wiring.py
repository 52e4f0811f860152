"""Settings -> container: the only place where concrete classes meet. Drivers are imported where they are needed."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from typing import Any

from cdc_cli import failpoints
from cdc_cli.brokers import TopicAdmin
from cdc_cli.checkpoint import TokenStore
from cdc_cli.clock import Clock, SystemClock
from cdc_cli.consume import Consumer
from cdc_cli.consume.dead_letters import DeadLetters
from cdc_cli.consume.topics import select_topics
from cdc_cli.container import Container
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import Health
from cdc_cli.publish import Publisher
from cdc_cli.retry import RetryPolicy
from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from cdc_cli.settings.models import Settings
from cdc_cli.workers.replay import ReplayTools
from cdc_cli.workers.services import Starter, SyncService, WatchService

_BOOTSTRAP_MS = 8_000


def wire(settings: Settings, stop: threading.Event) -> Container:
    """Recipes for everything; nothing is made or connected yet. `stop` is the one stop event (`threading.Event`)."""
    container = Container()
    container.provide(Settings, lambda _: settings)
    container.provide(threading.Event, lambda _: stop)
    container.provide(Clock, lambda _: SystemClock())
    container.provide(Counters, lambda _: Counters())
    container.provide(Health, lambda c: Health(c.get(Clock)))
    container.provide(RetryPolicy, lambda c: RetryPolicy(settings.retry, c.get(Clock)))
    container.provide(Starter, lambda c: Starter(c.get(Clock), stop))
    container.provide(TopicAdmin, _topic_admin)
    container.provide(Publisher, _publisher)
    container.provide(Consumer, _consumer)
    container.provide(TokenStore, _token_store)
    container.provide(DeadLetters, _dead_letters)
    container.provide(WatchService, _watch_service)
    container.provide(SyncService, _sync_service)
    container.provide(ReplayTools, _replay_tools)
    return container


def _uses_confluent(settings: Settings) -> bool:
    client = settings.kafka.client
    return client == "confluent" or (
        client == "auto" and importlib.util.find_spec("confluent_kafka") is not None
    )


def _python_options(settings: Settings, role: str) -> dict[str, Any]:
    return {
        **kafka_python_options(settings.kafka),
        "client_id": f"cdc-{role}-{settings.name}",
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
    }


def _librdkafka_options(settings: Settings, role: str) -> dict[str, Any]:
    return {**confluent_options(settings.kafka), "client.id": f"cdc-{role}-{settings.name}"}


def _topic_admin(container: Container) -> TopicAdmin:
    from cdc_cli.brokers.kafka_python_admin import KafkaPythonAdmin

    settings = container.get(Settings)
    return KafkaPythonAdmin(_python_options(settings, "admin"), settings.kafka.create_topics)


def _publisher(container: Container) -> Publisher:
    from cdc_cli.publish.failing import POINTS, FailingPublisher

    publisher = _driver_publisher(container)
    return FailingPublisher(publisher) if failpoints.is_armed(*POINTS) else publisher


def _driver_publisher(container: Container) -> Publisher:
    settings = container.get(Settings)
    if _uses_confluent(settings):
        from cdc_cli.publish.confluent import ConfluentPublisher

        return ConfluentPublisher(_librdkafka_options(settings, "producer"), settings.kafka)
    from cdc_cli.publish.kafka_python import KafkaPythonPublisher

    return KafkaPythonPublisher(_python_options(settings, "producer"), settings.kafka, container.get(Clock))


def _consumer(container: Container) -> Consumer:
    settings, admin = container.get(Settings), container.get(TopicAdmin)

    def topics() -> frozenset[str]:
        return select_topics(settings, admin.names())

    if _uses_confluent(settings):
        from cdc_cli.consume.confluent import ConfluentConsumer

        options = _librdkafka_options(settings, "sync")
        return ConfluentConsumer(options, settings.kafka, settings.group_id, topics)
    from cdc_cli.consume.kafka_python import KafkaPythonConsumer

    options = _python_options(settings, "sync")
    return KafkaPythonConsumer(options, settings.kafka, settings.group_id, topics)


def _token_store(container: Container) -> TokenStore:
    from cdc_cli.checkpoint.stores import make_store

    return make_store(container.get(Settings), container.get(Clock), container.get(threading.Event).wait)


def _dead_letters(container: Container) -> DeadLetters:
    """With a publisher of its own: that of a watcher in the same process belongs to another thread."""
    settings, policy = container.get(Settings), container.get(RetryPolicy)
    return DeadLetters(
        _publisher(container),
        settings.dead_letter_topic,
        settings.dead_letter.max_fraction,
        settings.syncer.on_error == "stop",
        policy.backoff("publishing dead letters"),
        container.get(Clock),
    )


def _watch_service(container: Container) -> WatchService:
    from cdc_cli.wiring_watch import watch_service

    return watch_service(container)


def _sync_service(container: Container) -> Iterator[SyncService]:
    from cdc_cli.wiring_sync import sync_service

    return sync_service(container)


def _replay_tools(container: Container) -> Iterator[ReplayTools]:
    from cdc_cli.wiring_replay import replay_tools

    return replay_tools(container)
