"""Rules about times and sizes: not zero where zero would hang or spin, and in an order that works."""

from __future__ import annotations

from collections.abc import Iterator

from cdc_cli.settings.models import Settings
from cdc_cli.settings.rules.problem import Problem, Rule, conflict, invalid, warning
from cdc_cli.settings.units import format_duration


def above_zero(settings: Settings) -> Iterator[Problem]:
    """A bound of 0 would wait for ever, never wait, or keep nothing."""
    kafka, postgres, retry = settings.kafka, settings.postgres, settings.retry
    values: dict[str, float] = {
        "kafka.create_topics.retention": kafka.create_topics.retention,
        "kafka.create_topics.max_message_size": kafka.create_topics.max_message_size,
        "kafka.producer.batch_size": kafka.producer.batch_size,
        "kafka.consumer.session_timeout": kafka.consumer.session_timeout,
        "kafka.consumer.max_poll_interval": kafka.consumer.max_poll_interval,
        "postgres.pool.acquire_timeout": postgres.pool.acquire_timeout,
        "postgres.statement_timeout": postgres.statement_timeout,
        "token_store.redis.lease": settings.token_store.redis.lease,
        "watcher.max_in_flight.size": settings.watcher.max_in_flight.size,
        "watcher.heartbeat": settings.watcher.heartbeat,
        "watcher.shutdown_timeout": settings.watcher.shutdown_timeout,
        "syncer.max_buffered.size": settings.syncer.max_buffered.size,
        "syncer.tombstone_retention": settings.syncer.tombstone_retention,
        "syncer.shutdown_timeout": settings.syncer.shutdown_timeout,
        "retry.initial": retry.initial,
        "retry.max_delay": retry.max_delay,
        "retry.give_up_after": retry.give_up_after,
    }
    for path, value in values.items():
        if value <= 0:
            yield invalid(path, "it must be more than 0")


def retry(settings: Settings) -> Iterator[Problem]:
    """Waits grow up to their maximum."""
    if settings.retry.initial > settings.retry.max_delay:
        message = f"the first wait is longer than max_delay ({format_duration(settings.retry.max_delay)})"
        yield conflict("retry.initial", "retry.max_delay", message)


def batches(settings: Settings) -> Iterator[Problem]:
    """Batches that can never fill are flushed by the clock only."""
    syncer = settings.syncer
    path, others = "syncer.batch.max_rows", ("syncer.max_buffered.events", "syncer.workers")
    if syncer.batch.max_rows > syncer.max_buffered.events:
        message = f"only {syncer.max_buffered.events} events are buffered (syncer.max_buffered.events)"
        yield conflict(path, others[0], message)
    elif syncer.batch.max_rows * syncer.workers > syncer.max_buffered.events:
        message = f"{syncer.max_buffered.events} buffered events cannot fill the batches of all workers"
        yield warning("small_buffer", path, message, "a larger syncer.max_buffered.events", *others)


def tombstones(settings: Settings) -> Iterator[Problem]:
    """A replayed insert older than its forgotten deletion would bring the row back (invariant I3)."""
    kept, read = settings.syncer.tombstone_retention, settings.kafka.create_topics.retention
    if kept < read:
        message = f"Kafka keeps records longer ({format_duration(read)}): a replay could raise deleted rows"
        other = "kafka.create_topics.retention"
        yield warning("short_tombstones", "syncer.tombstone_retention", message, f"more than {other}", other)


RULES: tuple[Rule, ...] = (above_zero, retry, batches, tombstones)
