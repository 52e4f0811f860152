"""The part of the wiring that the commands `replay` and `dlq` need: see wiring.py."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator

from cdc_cli.apply import Applier
from cdc_cli.apply.fence import Fence
from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.postgres import PostgresApplier
from cdc_cli.apply.records import EnvelopeMapper
from cdc_cli.apply.schema import CdcSchema
from cdc_cli.apply.session import Connector, Session
from cdc_cli.apply.settled import PostgresLetters
from cdc_cli.apply.tables import TargetTables
from cdc_cli.brokers import TopicAdmin
from cdc_cli.brokers.kafka_python_retention import retentions
from cdc_cli.clock import Clock
from cdc_cli.consume.dead_letters import DeadLetters
from cdc_cli.consume.range_reader import KafkaPythonRangeReader
from cdc_cli.consume.selection import Selection
from cdc_cli.container import Container
from cdc_cli.publish import Publisher
from cdc_cli.retry import RetryPolicy
from cdc_cli.settings.kafka_options import kafka_python_options
from cdc_cli.settings.models import Settings
from cdc_cli.workers.replay import Bury, Handling, Replayer, ReplayTools, only_tell
from cdc_cli.workers.services import Starter

_BOOTSTRAP_MS = 8_000


def replay_tools(container: Container) -> Iterator[ReplayTools]:
    """Everything that was opened is closed when the container is."""
    settings, starter = container.get(Settings), container.get(Starter)
    options = {
        **kafka_python_options(settings.kafka),
        "client_id": f"cdc-replay-{settings.name}",
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
    }
    reader, admin = KafkaPythonRangeReader(options), container.get(TopicAdmin)
    memory, close_memory = _memory(settings)
    closing: list[Callable[[], None]] = [close_memory, admin.close, lambda: reader.close(2.0)]

    def replayer(handling: Handling, selection: Selection) -> Replayer:
        syncing, stop, clock = settings.syncer, container.get(threading.Event), container.get(Clock)
        applier, close = _applier(settings, starter)
        closing.append(close)
        bury, close = _bury(container, handling)
        closing.append(close)
        mapper = EnvelopeMapper(Mapper(syncing.jsonb_format, syncing.on_unsupported_value))
        policy, rows = container.get(RetryPolicy), syncing.batch.max_rows
        return Replayer(reader, mapper, applier, bury, handling, selection, rows, policy, clock, stop, memory)

    yield ReplayTools(reader, admin, starter, lambda topics: retentions(options, topics), replayer, memory)
    # A connection that is closed while the driver asks for metadata is an error to its logger, and to nobody else.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    for close in reversed(closing):
        close()


def _applier(settings: Settings, starter: Starter) -> tuple[Applier, Callable[[], None]]:
    """A writer of one thread that shares its targets with nobody while it writes."""
    postgres, on_delete = settings.postgres, settings.syncer.on_delete
    timeout = postgres.pool.acquire_timeout
    pool = ConnectionPool(_connector(settings), 1, 2, timeout)
    starter("connecting to PostgreSQL", pool.start)
    starter("preparing PostgreSQL", CdcSchema(pool).ensure)
    applier = PostgresApplier(
        pool,
        TargetTables(pool, postgres.schema_, settings.mongodb.database, on_delete == "soft"),
        Fence(settings.group_id, uuid.uuid4().hex, exclusive=True),
        on_delete=on_delete,
        copy_threshold=settings.syncer.batch.copy_threshold,
        max_writes=1,
        acquire_timeout=timeout,
    )
    return applier, pool.close


def _memory(settings: Settings) -> tuple[PostgresLetters, Callable[[], None]]:
    """Connects when it is used. The pool is for making the schema, should it not be there."""
    connector = _connector(settings)
    pool = ConnectionPool[Session](connector, 0, 1, settings.postgres.pool.acquire_timeout)
    memory = PostgresLetters(connector, settings.group_id, CdcSchema(pool).ensure)

    def close() -> None:
        memory.close()
        pool.close()

    return memory, close


def _connector(settings: Settings) -> Connector:
    postgres = settings.postgres
    dsn = postgres.dsn.get_secret_value()
    return Connector(dsn, f"{settings.name}:replay", postgres.schema_, postgres.statement_timeout)


def _bury(container: Container, handling: Handling) -> tuple[Bury, Callable[[], None]]:
    """Where failed records go. Dead letters may all fail again; those that are not taken off the backlog stay."""
    settings, stop, policy = container.get(Settings), container.get(threading.Event), container.get(RetryPolicy)
    if handling.are_letters and not handling.backlog:
        return only_tell, lambda: None
    dead_letters = DeadLetters(
        container.get(Publisher),
        settings.dead_letter_topic,
        1.0 if handling.backlog else settings.dead_letter.max_fraction,
        settings.syncer.on_error == "stop",
        policy.backoff("publishing dead letters"),
        container.get(Clock),
    )
    if settings.syncer.on_error != "stop":
        admin, topics = container.get(TopicAdmin), [settings.dead_letter_topic]
        container.get(Starter)("preparing Kafka's topics", lambda: admin.ensure(topics))
    return (lambda failed, seen: dead_letters.bury(failed, seen, stop)), lambda: dead_letters.close(1.0)
