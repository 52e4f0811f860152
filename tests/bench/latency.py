"""End-to-end latency: a commit in MongoDB until the commit of its row in PostgreSQL, at a steady rate.

The writer puts its own time into each document; PostgreSQL keeps the time of each commit (track_commit_timestamp), so
that nobody has to poll for the rows and take the processor from what is measured. The server notes that time as it
begins to write the commit to disk: the flush of a few hundred bytes is not in the figures. One machine, one clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
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
    """{"p50", "p95", "p99", "max": ms, "rate": reached, "seen"} while documents are inserted at a steady rate."""
    with running(settings, folder):
        _write(settings, rate, 3.0, "warm")
        time.sleep(1.0)
        reached, sent = _write(settings, rate, seconds, "measured")
        delays = _commits(settings, sent)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {**{name: percentile(delays, share) for name, share in shares.items()}, "rate": reached, "seen": len(delays)}


def _write(settings: dict[str, Any], rate: int, seconds: float, phase: str) -> tuple[float, int]:
    """Insert at the rate; the rate that was reached, and how many."""
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(settings["mongodb"]["uri"])
    collection = client[settings["mongodb"]["database"]]["latency"]
    start, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < seconds:
        due = int(now * rate) - sent
        if due > 0:
            some = [{"t": time.time(), "n": sent + n, "phase": phase, "pad": "x" * 200} for n in range(due)]
            collection.insert_many(some, ordered=False)
            sent += due
        time.sleep(0.001)
    client.close()
    return sent / (time.perf_counter() - start), sent


def _commits(settings: dict[str, Any], expected: int) -> list[float]:
    """Milliseconds for each row, once they are all there."""
    connection = psycopg2.connect(settings["postgres"]["dsn"])
    connection.autocommit = True
    deadline = time.monotonic() + 60
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT 1000 * (extract(epoch FROM pg_xact_commit_timestamp(xmin)) - (document->>'t')::float8)::float8 "
                "FROM latency WHERE document->>'phase' = 'measured'"
            )
            delays = [float(delay) for (delay,) in cursor.fetchall()]
            if len(delays) >= expected:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {len(delays)} of {expected} rows arrived")
            time.sleep(0.5)
    connection.close()
    return delays
