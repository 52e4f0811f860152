"""What is measured: ours and theirs in turn, from the same oplog and from the same topic."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2

from tests.bench.cases import CLIENTS
from tests.bench.measure import run_child
from tests.bench.rivals import configs
from tests.bench.rivals.connect import Properties, Worker
from tests.bench.rivals.curve import Curve, Follower
from tests.bench.rivals.flat import copy_flat
from tests.bench.rivals.jars import DEBEZIUM_SINK, DEBEZIUM_SOURCE, MONGO_SOURCE, RUNTIME, Bundle, folder
from tests.bench.rivals.report import Report, Run
from tests.bench.site import Settings, Site, Start, topic_of

Follow = Callable[[Follower, float], Curve]

_PARTITIONS = 12
_ROWS = 'CREATE TABLE rows (id text COLLATE "C" PRIMARY KEY, doc jsonb, pos text COLLATE "C")'
_SOURCES = (
    ("Debezium MongoDB source", DEBEZIUM_SOURCE, configs.debezium_source),
    ("MongoDB Kafka source", MONGO_SOURCE, configs.mongo_source),
)


class Cases:
    """Every case `repeats` times, each time after the others have had their turn."""

    def __init__(self, site: Site, report: Report, events: int, repeats: int) -> None:
        self._site = site
        self._report = report
        self._events = events
        self._repeats = repeats
        for bundle in (RUNTIME, DEBEZIUM_SOURCE, MONGO_SOURCE, DEBEZIUM_SINK):
            folder(bundle)

    def watch(self) -> None:
        """MongoDB's oplog to Kafka."""
        database, start = self._site.fill(self._events, "game")
        for _ in range(self._repeats):
            for client in CLIENTS:
                self._report.add(f"cdc watch, {client}", self._our_watch(database, start, client))
            for name, bundle, config in _SOURCES:
                prefix = f"r{uuid.uuid4().hex[:8]}"
                topic = f"{prefix}.{database}.players"
                self._site.create(topic, _PARTITIONS)
                given = config(self._site, database, start, prefix)
                self._report.add(f"{name} ({bundle.version})", self._theirs(bundle, given, self._topic(topic)))

    def sync(self, tasks: list[int], unnest: list[bool]) -> None:
        """A topic to PostgreSQL."""
        given = self._site.topic(self._events, "game", _PARTITIONS)
        flat = self._flat(given)
        for _ in range(self._repeats):
            for client in CLIENTS:
                self._report.add(f"cdc sync, {client}", self._our_sync(given, client))
            for number in tasks:
                for array in unnest:
                    dsn = self._site.new_database()
                    _execute(dsn, _ROWS)
                    config = configs.debezium_sink(flat, dsn, number, array)
                    how = "UNNEST" if array else "rewritten INSERT"
                    name = f"Debezium JDBC sink ({DEBEZIUM_SINK.version}), {number} tasks, {how}"
                    self._report.add(name, self._theirs(DEBEZIUM_SINK, config, self._table(dsn, "rows")))

    def _our_watch(self, database: str, start: Start, client: str) -> Run:
        given = self._site.settings(database, kafka__client=client, kafka__create_topics={"partitions": _PARTITIONS})
        topic = topic_of(given)
        self._site.create(topic, _PARTITIONS)
        arguments = {"service": "watch", "settings": given, "events": self._events, "start_at": start}
        return _ours(arguments, self._topic(topic))

    def _our_sync(self, given: Settings, client: str) -> Run:
        fresh = self._site.fresh(given, client)
        arguments = {"service": "sync", "settings": fresh, "events": self._events}
        return _ours(arguments, self._table(fresh["postgres"]["dsn"], "players"))

    def _theirs(self, bundle: Bundle, config: Properties, follow: Follow) -> Run:
        place = self._site.folder / f"connect-{uuid.uuid4().hex[:8]}"
        worker = Worker(place, self._site.kafka.bootstrap, bundle, config)
        started = time.time()
        with worker:
            curve = follow(Follower(lambda: worker.cpu, worker.check), started)
            return Run(curve, curve.cpu_us, curve.steady_cpu_us, worker.peak_mb)

    def _topic(self, topic: str) -> Follow:
        bootstrap = self._site.kafka.bootstrap
        return lambda follower, started: follower.topic(bootstrap, topic, self._events, started)

    def _table(self, dsn: str, table: str) -> Follow:
        return lambda follower, started: follower.table(dsn, table, self._events, started)

    def _flat(self, given: Settings) -> str:
        """A topic with what a JDBC sink can take of the topic of `given`, in the same partitions."""
        flat = f"flat{uuid.uuid4().hex[:8]}"
        self._site.create(flat, _PARTITIONS)
        arguments = {"kafka": self._site.kafka.bootstrap, "given": topic_of(given), "flat": flat}
        copy_flat({**arguments, "events": self._events})
        return flat


def _ours(arguments: Settings, follow: Follow) -> Run:
    with ThreadPoolExecutor(1) as pool:
        started = time.time()
        running = pool.submit(run_child, "ours", arguments)

        def check() -> None:
            if running.done() and running.exception() is not None:
                running.result()

        curve = follow(Follower(lambda: 0.0, check), started)
        result = running.result()
    return Run(curve, result.cpu_us, None, result.peak_mb)


def _execute(dsn: str, statement: str) -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
