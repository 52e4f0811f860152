"""End-to-end latency: a commit in MongoDB until its row can be seen in PostgreSQL, at a steady rate.

The writer puts its own time into each document; PostgreSQL's commit is seen by polling the newest rows, every few
milliseconds, on the same machine and clock.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg2
import pymongo

from cdc_cli.clock import SystemClock
from cdc_cli.settings.models import Settings
from cdc_cli.wiring import wire
from cdc_cli.workers.runtime import tune_collector
from cdc_cli.workers.services import SyncService, WatchService
from cdc_cli.workers.supervisor import Supervisor


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(settings: Settings, rate: int, seconds: float) -> dict[str, float]:
    """{"p50": ms, "p99": ms, "rate": reached} of both services in one process while documents are inserted."""
    stop = threading.Event()
    with wire(settings, stop) as container:
        services = [container.get(WatchService), container.get(SyncService)]
        supervisor = Supervisor(stop, SystemClock(), 30)
        for service in services:
            service.prepare()
        tune_collector()
        for service in services:
            service.spawn(supervisor)
        _write(settings, 200, 2.0)
        delays: list[float] = []
        watching = threading.Thread(target=_see, args=(settings, delays, stop))
        watching.start()
        reached = _write(settings, rate, seconds)
        time.sleep(2.0)
        stop.set()
        watching.join()
        supervisor.join()
        for service in services:
            service.close()
    return {"p50": percentile(delays, 0.5), "p99": percentile(delays, 0.99), "rate": reached, "seen": len(delays)}


def _write(settings: Settings, rate: int, seconds: float) -> float:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(settings.mongodb.uri.get_secret_value())
    collection = client[settings.mongodb.database or "bench"].get_collection("latency")
    start, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < seconds:
        due = int(now * rate) - sent
        if due > 0:
            some = [{"t": time.time(), "n": sent + n, "pad": "x" * 200} for n in range(due)]
            collection.insert_many(some, ordered=False)
            sent += due
        time.sleep(0.001)
    client.close()
    return sent / (time.perf_counter() - start)


def _see(settings: Settings, delays: list[float], stop: threading.Event) -> None:
    connection = psycopg2.connect(settings.postgres.dsn.get_secret_value())
    connection.autocommit = True
    newest = ""
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX ON latency (cdc_position)")
        cursor.execute("SELECT coalesce(max(cdc_position), '') FROM latency")
        newest = (cursor.fetchone() or ("",))[0]
        seen: set[str] = set()
        while not stop.is_set():
            # Lanes commit out of order: look back far enough to meet late ones, count each row once.
            cursor.execute(
                "SELECT _id, (document->>'t')::float8, cdc_position FROM latency WHERE cdc_position > %s", (newest,)
            )
            now = time.time()
            fresh = [(row[0], row[1]) for row in cursor.fetchall() if row[0] not in seen]
            seen.update(row[0] for row in fresh)
            delays.extend((now - at) * 1000 for _, at in fresh)
            stop.wait(0.004)
    connection.close()
