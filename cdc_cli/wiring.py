"""Settings -> container: the only place where concrete classes meet. Drivers are imported where they are needed."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from cdc_cli import __version__, failpoints
from cdc_cli.apply import Applier, Ledger
from cdc_cli.brokers import TopicAdmin
from cdc_cli.checkpoint import TokenStore, Writer
from cdc_cli.checkpoint.belonging import Belonging
from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.clock import Clock, SystemClock
from cdc_cli.consume import Consumer
from cdc_cli.consume.dead_letters import DeadLetters
from cdc_cli.consume.lag import LagMeter
from cdc_cli.consume.metered import MeteredConsumer
from cdc_cli.consume.offsets import Offsets
from cdc_cli.consume.topics import literal_topics, select_topics
from cdc_cli.container import Container
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import MONGODB, POSTGRES, TOKENS, Health
from cdc_cli.publish import Publisher
from cdc_cli.publish.topics import names_collection, topic_of
from cdc_cli.retry import RetryPolicy
from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from cdc_cli.settings.models import Settings
from cdc_cli.workers.checkpointer import Checkpointer
from cdc_cli.workers.forward import Forwarder
from cdc_cli.workers.lanes import Lane
from cdc_cli.workers.replay import ReplayTools
from cdc_cli.workers.services import Starter, SyncService, WatchService
from cdc_cli.workers.sync import Buffer, Syncer
from cdc_cli.workers.watch import Bounds, Watcher
from cdc_cli.workers.write import LaneWorker

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

    return KafkaPythonPublisher(_python_options(settings, "producer"), settings.kafka)


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


def topic_namer(settings: Settings) -> Callable[[str, str], str]:
    """(database, collection) -> topic."""
    template, name = settings.kafka.topic, settings.name
    return lambda database, collection: topic_of(template, name, database, collection)


def _watch_service(container: Container) -> WatchService:
    from cdc_cli.capture.client import connect
    from cdc_cli.capture.identity import identify
    from cdc_cli.capture.mongo import MongoCapture
    from cdc_cli.capture.pipeline import filters_text, fingerprint, stream_name
    from cdc_cli.capture.start import Start
    from cdc_cli.checkpoint.siblings import check_siblings
    from cdc_cli.envelope import Encoder, codec_options, decode_document

    settings, clock, stop = container.get(Settings), container.get(Clock), container.get(threading.Event)
    mongodb, watching, counters = settings.mongodb, settings.watcher, container.get(Counters)
    policy, publisher, admin = container.get(RetryPolicy), container.get(Publisher), container.get(TopicAdmin)
    shard, health = settings.shard, container.get(Health)
    client = connect(mongodb, f"cdc:{settings.name}{f':{shard.slug}' if shard else ''}")
    tracker = Tracker()
    checkpointer = Checkpointer(
        container.get(TokenStore),
        tracker,
        Writer(socket.gethostname(), os.getpid(), __version__),
        policy.backoff("saving the resume token"),
        watching.heartbeat,
        settings.token_store.redis.lease,
        counters,
        clock,
        partial(health.asking, TOKENS),
    )
    forwarder = Forwarder(
        publisher,
        tracker,
        Encoder(with_namespace=not names_collection(settings.kafka.topic, mongodb.database)),
        topic_namer(settings),
        admin,
        settings.dead_letter_topic,
        watching.on_oversized_event == "fail",
        counters,
        clock,
    )
    watcher = Watcher(
        MongoCapture(
            client, mongodb, Start(watching.start_from), codec_options(), decode_document,
            partial(counters.add_wait, "watch_waited", "mongodb"), partial(health.asking, MONGODB), shard,
        ),
        publisher,
        tracker,
        forwarder,
        checkpointer,
        policy.backoff,
        Bounds(watching.max_in_flight.events, watching.max_in_flight.size),
        watching.on_position_lost == "skip_to_now",
        counters,
        health,
        clock,
        stop,
    )

    def belongs() -> Belonging:
        return Belonging(stream_name(mongodb, shard), fingerprint(mongodb), *identify(client))

    return WatchService(
        watcher,
        checkpointer,
        container.get(TokenStore),
        publisher,
        admin,
        _topics(settings),
        belongs,
        filters_text(mongodb),
        lambda is_first: check_siblings(settings, is_first),
        watching.start_from,
        watching.standby,
        watching.shutdown_timeout,
        container.get(Starter),
        stop,
    )


def _topics(settings: Settings) -> frozenset[str]:
    """What can be made before the first event: the topics of the listed collections, and the dead letters'."""
    return (literal_topics(settings) or frozenset()) | {settings.dead_letter_topic}


def _sync_service(container: Container) -> Iterator[SyncService]:
    from cdc_cli.apply.claims import Claims
    from cdc_cli.apply.fence import Fence
    from cdc_cli.apply.ledger import PostgresLedger
    from cdc_cli.apply.pool import ConnectionPool
    from cdc_cli.apply.postgres import PostgresApplier
    from cdc_cli.apply.schema import CdcSchema
    from cdc_cli.apply.session import Connector, Session
    from cdc_cli.apply.tables import TargetTables
    from cdc_cli.apply.tombstones import Tombstones

    settings, clock, stop = container.get(Settings), container.get(Clock), container.get(threading.Event)
    postgres, syncing = settings.postgres, settings.syncer
    owner, abandon, policy = uuid.uuid4().hex, threading.Event(), container.get(RetryPolicy)
    dsn = postgres.dsn.get_secret_value()
    connector = Connector(dsn, settings.name, postgres.schema_, postgres.statement_timeout)
    pool: ConnectionPool[Session] = ConnectionPool(
        connector, postgres.pool.min, postgres.pool.max, postgres.pool.acquire_timeout
    )
    tables = TargetTables(pool, postgres.schema_, settings.mongodb.database, syncing.on_delete == "soft")
    claims, schema = Claims(), CdcSchema(pool)
    applier = PostgresApplier(
        pool,
        tables,
        Fence(settings.group_id, owner, exclusive=False, claims=claims),
        on_delete=syncing.on_delete,
        copy_threshold=syncing.batch.copy_threshold,
        max_writes=postgres.max_concurrent_writes,
        acquire_timeout=postgres.pool.acquire_timeout,
    )
    dead_letters = _dead_letters(container, policy)
    ledger = PostgresLedger(pool, settings.group_id, owner, claims, schema.ensure, tables.forget_all)
    yield _assemble_sync(
        container, pool, schema.ensure, applier, ledger, dead_letters, Tombstones, abandon, clock, stop
    )
    pool.close()


def _dead_letters(container: Container, policy: RetryPolicy) -> DeadLetters:
    settings = container.get(Settings)
    return DeadLetters(
        _publisher(container),
        settings.dead_letter_topic,
        settings.dead_letter.max_fraction,
        settings.syncer.on_error == "stop",
        policy.backoff("publishing dead letters"),
        container.get(Clock),
    )


def _assemble_sync(
    container: Container,
    pool: Any,
    ensure_schema: Callable[[], None],
    applier: Applier,
    ledger: Ledger,
    dead_letters: DeadLetters,
    tombstones: Any,
    abandon: threading.Event,
    clock: Clock,
    stop: threading.Event,
) -> SyncService:
    from cdc_cli.apply.mapping import Mapper
    from cdc_cli.apply.records import EnvelopeMapper

    settings, counters, policy = container.get(Settings), container.get(Counters), container.get(RetryPolicy)
    health = container.get(Health)
    syncing, batch = settings.syncer, settings.syncer.batch
    lanes = [Lane(n, batch.max_rows, batch.max_wait, clock) for n in range(syncing.workers)]
    offsets = Offsets(len(lanes))
    meter = LagMeter(offsets, clock)
    consumer = MeteredConsumer(container.get(Consumer), meter)
    syncer = Syncer(
        consumer,
        lanes,
        offsets,
        ledger,
        container.get(TopicAdmin).ids,
        policy.backoff("reading from Kafka"),
        Buffer(syncing.max_buffered.events, syncing.max_buffered.size),
        counters,
        health,
        clock,
        stop,
    )

    def mapper() -> EnvelopeMapper:
        return EnvelopeMapper(Mapper(syncing.jsonb_format, syncing.on_unsupported_value))

    workers = [
        LaneWorker(
            lane,
            mapper(),
            applier,
            dead_letters,
            policy.backoff("writing to PostgreSQL"),
            counters,
            clock,
            abandon,
            syncer.fenced,
            partial(health.asking, POSTGRES),
        )
        for lane in lanes
    ]

    def prepare_postgres() -> None:
        pool.start()
        ensure_schema()

    return SyncService(
        syncer,
        consumer,
        lanes,
        workers,
        dead_letters,
        container.get(TopicAdmin),
        _topics(settings),
        prepare_postgres,
        pool.interrupt,
        cast(Callable[..., int], tombstones(pool, syncing.tombstone_retention).purge),
        syncing.shutdown_timeout,
        container.get(Starter),
        clock,
        stop,
        abandon,
        meter,
    )


def _replay_tools(container: Container) -> Iterator[ReplayTools]:
    from cdc_cli.wiring_replay import replay_tools

    return replay_tools(container)
