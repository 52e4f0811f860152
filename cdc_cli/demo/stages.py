"""How far each stage has come, asked from the servers themselves and not from the program that is on show.

Written = acknowledged by MongoDB; sent = records that a reader of our own has got from Kafka (not the end offsets:
Tansu 0.6.0 answers ListOffsets with the start of the last batch); applied = the offsets that stand in PostgreSQL,
where they are committed with or after the data.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from cdc_cli.clock import Clock
from cdc_cli.demo.words import COLLECTIONS, DEAD_LETTERS, topic

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

_INTERVAL = 0.25
_WINDOW = 16
"""Samples over which rates are taken: four seconds, because the offsets in PostgreSQL move once a second."""
_APPLIED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM cdc.offsets WHERE topic = ANY (%s)"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


class Sample(NamedTuple):
    """One moment. `at` is on the monotonic clock; `lag` in seconds."""

    at: float
    written: int
    sent: int
    applied: int
    rows: int
    dead_letters: int
    lag: float


class Rates(NamedTuple):
    """Changes per second of each stage, over the last few seconds."""

    written: float
    sent: float
    applied: float


class Stages:
    """Looks at the servers in threads of its own, four times a second; it alone uses `postgres`.

    `start` it when the topics exist.
    """

    def __init__(
        self,
        bootstrap: str,
        postgres: Connection,
        written: Callable[[], int],
        lag: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._bootstrap = bootstrap
        self._postgres = postgres
        self._written = written
        self._lag = lag
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=_WINDOW)
        self._sent = dict.fromkeys((*map(topic, COLLECTIONS), DEAD_LETTERS), 0)
        self._is_over = threading.Event()
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=name)
            for name, work in (("demo-stages", self._look), ("demo-reader", self._read))
        ]

    def start(self) -> None:
        self._samples.append(self._sample())
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Harmless at any time."""
        self._is_over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    @property
    def latest(self) -> Sample:
        """The newest sample; there is one after `start`. Raises the error that ended the looking."""
        if self._error is not None:
            raise self._error
        return self._samples[-1]

    @property
    def rates(self) -> Rates:
        first, last = self._samples[0], self._samples[-1]
        seconds = max(last.at - first.at, 1e-9)
        pairs = ((first.written, last.written), (first.sent, last.sent), (first.applied, last.applied))
        return Rates(*(max(0, new - old) / seconds for old, new in pairs))

    def _look(self) -> None:
        while not self._is_over.wait(_INTERVAL):
            self._samples.append(self._sample())

    def _sample(self) -> Sample:
        topics = [topic(name) for name in COLLECTIONS]
        with self._postgres.cursor() as cursor:
            cursor.execute(_APPLIED, (topics,))
            applied = _number(cursor)
            rows = _rows(cursor)
        sent = sum(self._sent[name] for name in topics)
        now, dead_letters = self._clock.monotonic(), self._sent[DEAD_LETTERS]
        return Sample(now, self._written(), sent, applied, rows, dead_letters, self._lag())

    def _read(self) -> None:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(
            bootstrap_servers=[self._bootstrap], group_id=None, enable_auto_commit=False,
            auto_offset_reset="earliest", max_poll_records=5000,
        )
        try:
            names = [name for name in self._sent if name in consumer.topics()]
            consumer.assign(
                [TopicPartition(name, n) for name in names for n in consumer.partitions_for_topic(name) or ()]
            )
            while not self._is_over.is_set():
                for partition, records in consumer.poll(timeout_ms=200).items():
                    self._sent[partition.topic] += len(records)
        finally:
            consumer.close()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = self._error or error


def tables(cursor: Any) -> list[str]:
    """The tables that hold documents."""
    cursor.execute(_TABLES)
    return [name for (name,) in cursor.fetchall()]


def _rows(cursor: Any) -> int:
    from psycopg2 import sql

    names = tables(cursor)
    if not names:
        return 0
    count = sql.SQL("(SELECT count(*) FROM public.{})")
    cursor.execute(sql.SQL("SELECT ") + sql.SQL(" + ").join(count.format(sql.Identifier(name)) for name in names))
    return _number(cursor)


def _number(cursor: Any) -> int:
    return int(cursor.fetchone()[0])
