"""What is measured, ours and the limit in turn."""

from __future__ import annotations

import copy
import statistics
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from tests.bench import latency
from tests.bench.measure import Result, run_child, together
from tests.bench.report import Report
from tests.bench.site import Settings, Site, topic_of

CLIENTS = ("kafka-python", "confluent")


class Cases:
    """Every case `repeats` times."""

    def __init__(self, site: Site, report: Report, repeats: int) -> None:
        self._site = site
        self._report = report
        self._repeats = repeats

    def watch(self, events: int, kind: str, client: str, partitions: int = 12, updates: bool = False) -> None:
        """MongoDB's oplog to Kafka."""
        site = self._site
        database, start = site.fill(events, kind)
        if updates:
            start = site.update(database, events)
        ours, bare = [], []
        for _ in range(self._repeats):
            given = site.settings(database, kafka__client=client, kafka__create_topics={"partitions": partitions})
            common = {"events": events, "start_at": start}
            ours.append(run_child("ours", {"service": "watch", "settings": given, **common}))
            topic = f"bare{uuid.uuid4().hex[:8]}"
            site.create(topic, partitions)
            arguments = {"loop": "watch", "mongodb": site.mongo.uri, "kafka": site.kafka.bootstrap, "client": client}
            bare.append(run_child("bare", {**arguments, **common, "database": database, "topic": topic}))
        what = "updates" if updates else "inserts"
        self._report.add(f"watch, {what}, {kind}, {client}, {partitions} partitions", ours, bare)

    def sync(
        self, given: Settings, events: int, kind: str, client: str, workers: int = 8, bare: bool = True
    ) -> Settings:
        """The topic of `given` into an empty database; returns the settings of the last run."""
        site, ours, limit = self._site, [], []
        for _ in range(self._repeats):
            fresh = self._site.fresh(given, client, workers)
            ours.append(run_child("ours", {"service": "sync", "settings": fresh, "events": events}))
            if bare:
                where = {"kafka": site.kafka.bootstrap, "topic": topic_of(given), "postgres": site.new_database()}
                arguments = {"loop": "sync", **where, "client": client, "group": uuid.uuid4().hex, "events": events}
                limit.append(run_child("bare", arguments))
        self._report.add(f"sync, inserts, {kind}, {client}, {workers} workers", ours, limit)
        return fresh

    def updates(self, synced: Settings, events: int) -> None:
        """One update of each row, by the group that inserted them: not repeated, as it goes on from where that was."""
        self._site.publish(synced, events, self._site.update(synced["mongodb"]["database"], events))
        client = synced["kafka"]["client"]
        done = run_child("ours", {"service": "sync", "settings": synced, "events": events})
        self._report.add(f"sync, updates, game, {client}, 8 workers", [done])

    def stale(self, synced: Settings, events: int) -> None:
        """The same records again onto the rows that have them."""
        ours = []
        for _ in range(self._repeats):
            again = {**copy.deepcopy(synced), "name": f"bench-{uuid.uuid4().hex[:8]}"}
            ours.append(run_child("ours", {"service": "sync", "settings": again, "events": events}))
        self._report.add(f"sync, all stale (replay), game, {synced['kafka']['client']}, 8 workers", ours)

    def processes(self, given: Settings, events: int, client: str, count: int) -> None:
        """Several processes of one group."""
        ours = []
        for _ in range(self._repeats):
            fresh = self._site.fresh(given, client)
            arguments = {"service": "sync", "settings": fresh, "events": events, "shared": True}
            with ThreadPoolExecutor(count) as pool:
                results = list(pool.map(lambda _, given=arguments: run_child("ours", given), range(count)))
            ours.append(together([result for result in results if result.events]))
        self._report.add(f"sync, inserts, game, {client}, {count} process(es)", ours)

    def copy(self, given: Settings, events: int) -> None:
        """The limit of PostgreSQL: rows that are ready, into the same table."""
        site = self._site
        results: list[Result] = []
        for _ in range(self._repeats):
            arguments = {"loop": "copy", "events": events, "postgres": site.new_database()}
            results.append(run_child("bare", {**arguments, "topic": topic_of(given), "kafka": site.kafka.bootstrap}))
        self._report.add("bare COPY of the same rows, one connection", results)

    def latencies(self, rates: list[int], seconds: float) -> None:
        """From the commit in MongoDB to that in PostgreSQL."""
        for label, wait in (("defaults", "500ms"), ("batch.max_wait 20ms", "20ms")):
            for rate in rates:
                given = self._site.settings(
                    f"lat_{uuid.uuid4().hex[:6]}", mongodb__collections=["latency"], syncer__batch={"max_wait": wait}
                )
                found = latency.measure(given, self._site.folder, rate, seconds)
                shown = {name: found[name] for name in ("p50", "p95", "p99", "max")}
                self._report.note(f"latency, {label}, {rate}/s", shown, "ms")

    def start_up(self) -> None:
        """How long commands take that need no server."""
        for arguments in (["--version"], ["--help"], ["config", "validate", "--help"]):
            times = []
            for _ in range(5):
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", "cdc_cli", *arguments], capture_output=True, check=True)
                times.append(time.perf_counter() - start)
            self._report.note(f"cdc {' '.join(arguments)}", {"median": statistics.median(times)}, "s")
