"""The part of the wiring that `cdc sync` needs: see wiring.py."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial

from cdc_cli.apply import Applier, Ledger
from cdc_cli.apply.claims import Claims
from cdc_cli.apply.fence import Fence
from cdc_cli.apply.ledger import PostgresLedger
from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.postgres import PostgresApplier
from cdc_cli.apply.records import EnvelopeMapper
from cdc_cli.apply.schema import CdcSchema
from cdc_cli.apply.session import Connector, Session
from cdc_cli.apply.tables import TargetTables
from cdc_cli.apply.tombstones import Tombstones
from cdc_cli.brokers import TopicAdmin
from cdc_cli.clock import Clock
from cdc_cli.consume import Consumer
from cdc_cli.consume.dead_letters import DeadLetters
from cdc_cli.consume.lag import LagMeter
from cdc_cli.consume.metered import MeteredConsumer
from cdc_cli.consume.offsets import Offsets
from cdc_cli.container import Container
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import POSTGRES, Health
from cdc_cli.retry import RetryPolicy
from cdc_cli.settings.models import Settings
from cdc_cli.wiring_watch import first_topics
from cdc_cli.workers.backpressure import Buffer
from cdc_cli.workers.lanes import Lane
from cdc_cli.workers.services import Starter, SyncService
from cdc_cli.workers.sync import Syncer
from cdc_cli.workers.write import LaneWorker


def sync_service(container: Container) -> Iterator[SyncService]:
    settings, clock, stop = container.get(Settings), container.get(Clock), container.get(threading.Event)
    postgres, syncing = settings.postgres, settings.syncer
    owner, abandon = uuid.uuid4().hex, threading.Event()
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
    ledger = PostgresLedger(pool, settings.group_id, owner, claims, schema.ensure, tables.forget_all)
    yield _assemble_sync(container, pool, schema.ensure, applier, ledger, abandon, clock, stop)
    pool.close()


def _assemble_sync(
    container: Container,
    pool: ConnectionPool[Session],
    ensure_schema: Callable[[], None],
    applier: Applier,
    ledger: Ledger,
    abandon: threading.Event,
    clock: Clock,
    stop: threading.Event,
) -> SyncService:
    settings, counters, policy = container.get(Settings), container.get(Counters), container.get(RetryPolicy)
    health = container.get(Health)
    syncing, batch, dead_letters = settings.syncer, settings.syncer.batch, container.get(DeadLetters)
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
        first_topics(settings),
        prepare_postgres,
        pool.interrupt,
        Tombstones(pool, syncing.tombstone_retention).purge,
        syncing.shutdown_timeout,
        container.get(Starter),
        clock,
        stop,
        abandon,
        meter,
    )
