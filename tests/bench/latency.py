"""End-to-end latency: a commit in MongoDB until its row can be seen in PostgreSQL, at a steady rate.

The writer puts its own time into each document; PostgreSQL's commit is seen by polling the newest rows, every few
milliseconds, on the same machine and clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pymongo


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def running(settings: dict[str, Any], folder: Path) -> Iterator[None]:
    """`cdc watch` and `cdc sync` as two processes, both ready."""
    config = folder / f"{settings['name']}.yaml"
    config.write_text(json.dumps(settings))
    log = (folder / f"{settings['name']}.log").open("wb")
    processes = [
        subprocess.Popen([sys.executable, "-m", "cdc_cli", service, "-c", str(config)], stderr=log, stdout=log)
        for service in ("watch", "sync")
    ]
    try:
        text = ""
        while not ("watch.started" in text and "partitions.assigned" in text):
            if any(process.poll() is not None for process in processes):
                raise RuntimeError(f"a service ended early:\n{text[-2000:]}")
            time.sleep(0.1)
            text = (folder / f"{settings['name']}.log").read_text()
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(40)
        log.close()


def measure(settings: dict[str, Any], folder: Path, rate: int, seconds: float) -> dict[str, float]:
    """{"p50": ms, "p99": ms, "rate": reached} while documents are inserted at a steady rate."""
    stop, delays = threading.Event(), list[float]()
    with running(settings, folder):
        _write(settings, 200, 2.0)
        time.sleep(2.0)
        watching = threading.Thread(target=_see, args=(settings, delays, stop))
        watching.start()
        reached = _write(settings, rate, seconds)
        time.sleep(2.0)
        stop.set()
        watching.join()
    return {"p50": percentile(delays, 0.5), "p99": percentile(delays, 0.99), "rate": reached, "seen": len(delays)}


def _write(settings: dict[str, Any], rate: int, seconds: float) -> float:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(settings["mongodb"]["uri"])
    collection = client[settings["mongodb"]["database"]]["latency"]
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


def _see(settings: dict[str, Any], delays: list[float], stop: threading.Event) -> None:
    connection = psycopg2.connect(settings["postgres"]["dsn"])
    connection.autocommit = True
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
