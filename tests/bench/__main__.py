"""`python -m tests.bench [--quick] [--json FILE]`: all in one run, ours and the limit in turn, medians and ratios."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg2
import pymongo

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedPostgres
from tests.bench import latency
from tests.bench.documents import insert
from tests.bench.measure import Result, run_child


class Bench:
    """One set of servers and the cases that run on it."""

    def __init__(self, folder: Path, repeats: int) -> None:
        self.folder = folder
        self.repeats = repeats
        self.rows: list[dict[str, Any]] = []
        self.mongo = EmbeddedMongo(folder / "mongodb", oplog_mb=8000, cache_gb=1.0)
        self.kafka = ApacheKafka(folder / "kafka")
        tuned = {"max_wal_size": "4GB", "shared_buffers": "256MB"}
        self.postgres = EmbeddedPostgres(folder / "postgres", parameters=tuned)

    def settings(self, database: str, **changes: Any) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "name": f"bench-{uuid.uuid4().hex[:8]}",
            "mongodb": {"uri": self.mongo.uri, "database": database},
            "kafka": {"bootstrap_servers": [self.kafka.bootstrap], "client": "kafka-python"},
            "postgres": {"dsn": self.new_database()},
            "token_store": {"file": {"path": str(self.folder / f"token-{uuid.uuid4().hex[:8]}.json")}},
        }
        for path, value in changes.items():
            *sections, key = path.split("__")
            target = plain
            for section in sections:
                target = target.setdefault(section, {})
            target[key] = value
        return plain

    def new_database(self) -> str:
        name = f"b{uuid.uuid4().hex[:8]}"
        connection = psycopg2.connect(self.postgres.dsn)
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        connection.close()
        return self.postgres.dsn_for(name)

    def fill(self, events: int, kind: str) -> tuple[str, list[int]]:
        """A database with that many inserts in the oplog; its name and the cluster time before them."""
        client: pymongo.MongoClient[Any] = pymongo.MongoClient(self.mongo.uri)
        database = f"bench_{kind}_{uuid.uuid4().hex[:6]}"
        start = client.admin.command("ping")["operationTime"]
        insert(client[database]["players"], events, kind)
        client.close()
        return database, [start.time, start.inc + 1]

    def report(self, case: str, ours: list[Result], bare: list[Result], limit: str = "bare loop") -> None:
        row = {
            "case": case,
            "events": ours[0].events,
            "rate": statistics.median(r.rate for r in ours),
            "limit": limit,
            "limit_rate": statistics.median(r.rate for r in bare) if bare else None,
            "cpu_us": statistics.median(r.cpu_us for r in ours),
            "limit_cpu_us": statistics.median(r.cpu_us for r in bare) if bare else None,
            "peak_mb": max(r.peak_mb for r in ours),
        }
        row["ratio"] = row["rate"] / row["limit_rate"] if bare else None
        self.rows.append(row)
        ratio = f"{row['ratio']:.2f} of {limit} ({row['limit_rate']:,.0f}/s)" if bare else ""
        figures = f"{row['rate']:>9,.0f}/s  {row['cpu_us']:5.1f} us CPU  {row['peak_mb']:4.0f} MB"
        print(f"{case:44} {figures}  {ratio}", flush=True)

    def watch(self, events: int, kind: str, client: str, partitions: int) -> None:
        database, start = self.fill(events, kind)
        ours, bare = [], []
        for _ in range(self.repeats):
            given = self.settings(
                database,
                kafka__client=client,
                kafka__topic=f"w{uuid.uuid4().hex[:8]}." + "{database}.{collection}",
                kafka__create_topics={"partitions": partitions},
                mongodb__collections=["players"],
            )
            common = {"events": events, "start_at": start}
            ours.append(run_child("ours", {"service": "watch", "settings": given, **common}))
            topic = f"bare{uuid.uuid4().hex[:8]}"
            self.create(topic, partitions)
            arguments = {"loop": "watch", "mongodb": self.mongo.uri, "kafka": self.kafka.bootstrap, "client": client}
            bare.append(run_child("bare", {**arguments, **common, "database": database, "topic": topic}))
        self.report(f"watch {kind} {client} {partitions} partitions", ours, bare)

    def create(self, topic: str, partitions: int) -> None:
        from cdc_cli.brokers.kafka_python_admin import KafkaPythonAdmin
        from cdc_cli.settings.models import TopicSettings

        admin = KafkaPythonAdmin({"bootstrap_servers": [self.kafka.bootstrap]}, TopicSettings(partitions=partitions))
        admin.ensure([topic])
        admin.close()

    def topic(self, events: int, kind: str, partitions: int) -> dict[str, Any]:
        """Settings whose topic holds that many events, published by the watcher."""
        database, start = self.fill(events, kind)
        given = self.settings(
            database,
            kafka__client="confluent",
            kafka__topic=f"s{uuid.uuid4().hex[:8]}." + "{database}.{collection}",
            kafka__create_topics={"partitions": partitions},
            mongodb__collections=["players"],
        )
        run_child("ours", {"service": "watch", "settings": given, "events": events, "start_at": start})
        return given

    def sync(self, given: dict[str, Any], events: int, client: str, workers: int, bare_too: bool = True) -> None:
        ours, bare = [], []
        topic = given["kafka"]["topic"].replace("{database}.{collection}", given["mongodb"]["database"] + ".players")
        for _ in range(self.repeats):
            fresh = json.loads(json.dumps(given))
            fresh["name"] = f"bench-{uuid.uuid4().hex[:8]}"
            fresh["postgres"]["dsn"] = self.new_database()
            fresh["kafka"]["client"] = client
            fresh["syncer"] = {"workers": workers}
            ours.append(run_child("ours", {"service": "sync", "settings": fresh, "events": events}))
            if bare_too:
                arguments = {"loop": "sync", "kafka": self.kafka.bootstrap, "client": client, "topic": topic}
                arguments |= {"group": uuid.uuid4().hex, "postgres": self.new_database(), "events": events}
                bare.append(run_child("bare", arguments))
        self.report(f"sync game {client} {workers} workers", ours, bare)
        self.last = fresh

    def replayed(self, events: int) -> None:
        """The same events again onto the rows of the last sync: every one is stale."""
        ours = []
        for _ in range(self.repeats):
            fresh = json.loads(json.dumps(self.last))
            fresh["name"] = f"bench-{uuid.uuid4().hex[:8]}"
            ours.append(run_child("ours", {"service": "sync", "settings": fresh, "events": events}))
        self.report("sync, all stale (replay)", ours, [])

    def copy(self, events: int) -> None:
        given = {"loop": "copy", "events": events}
        results = [run_child("bare", {**given, "postgres": self.new_database()}) for _ in range(self.repeats)]
        self.report("bare COPY into the table", results, [])

    def latencies(self, rates: list[int], seconds: float) -> None:
        for label, wait in (("defaults", "500ms"), ("batch.max_wait 20ms", "20ms")):
            for rate in rates:
                given = self.settings(
                    f"lat_{uuid.uuid4().hex[:6]}", mongodb__collections=["latency"], syncer__batch={"max_wait": wait},
                    kafka__topic=f"l{uuid.uuid4().hex[:8]}." + "{database}.{collection}",
                )  # fmt: skip
                found = latency.measure(given, self.folder, rate, seconds)
                self.rows.append({"case": f"latency {label} {rate}/s", **found})
                print(f"latency, {label}, {rate}/s: p50 {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms", flush=True)

    def start_up(self) -> None:
        for arguments in (["--version"], ["--help"], ["config", "validate", "--help"]):
            times = []
            for _ in range(5):
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", "cdc_cli", *arguments], capture_output=True, check=True)
                times.append(time.perf_counter() - start)
            self.rows.append({"case": f"cdc {' '.join(arguments)}", "seconds": statistics.median(times)})
            print(f"cdc {' '.join(arguments)}: {statistics.median(times):.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about three minutes instead of an hour")
    parser.add_argument("--events", type=int, default=0, help="per case (default 1,000,000; quick 60,000)")
    parser.add_argument("--only", default="", help="comma-separated: watch, sync, latency, start")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    events = options.events or (60_000 if options.quick else 1_000_000)
    only = set(options.only.split(",")) if options.only else {"watch", "sync", "latency", "start"}
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cdc-bench-") as name:
        bench = Bench(Path(name), 1 if options.quick else 3)
        with bench.mongo, bench.kafka, bench.postgres:
            run(bench, events, only, options.quick)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=2))


def run(bench: Bench, events: int, only: set[str], quick: bool) -> None:
    if "watch" in only:
        for client in ("kafka-python", "confluent"):
            bench.watch(events, "game", client, 12)
        if not quick:
            bench.watch(events, "small", "kafka-python", 12)
            bench.watch(events // 50, "large", "kafka-python", 12)
            for partitions in (1, 4):
                bench.watch(events, "game", "kafka-python", partitions)
    if "sync" in only:
        given = bench.topic(events, "game", 12)
        bench.copy(events)
        for client in ("confluent", "kafka-python"):
            bench.sync(given, events, client, 8)
        bench.replayed(events)
        for workers in (1, 2, 4, 16) if not quick else (16,):
            bench.sync(given, events, "kafka-python", workers, bare_too=False)
    if "latency" in only:
        bench.latencies([1000] if quick else [100, 1000, 5000], 8 if quick else 20)
    if "start" in only:
        bench.start_up()


if __name__ == "__main__":
    main()
