"""One bench from start to end: the names, the stages in turn, and the cleaning in every case."""

from __future__ import annotations

import datetime
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cdc_cli.bench.clean import Cleaned, clean_run
from cdc_cli.bench.documents import BYTES, DocumentSize
from cdc_cli.bench.drain import SPARE, drain_sync, drain_watch
from cdc_cli.bench.folders import FolderSite, make_folder
from cdc_cli.bench.latency import LatencyTest, Load
from cdc_cli.bench.mongodb import MongoSite
from cdc_cli.bench.names import DATABASE, Run
from cdc_cli.bench.postgres import PostgresSite
from cdc_cli.bench.report import Report
from cdc_cli.bench.settings import bench_settings
from cdc_cli.bench.things import Kind, Site, Thing, command, expected
from cdc_cli.clock import Clock
from cdc_cli.errors import CdcError
from cdc_cli.retry import Stopped
from cdc_cli.settings.models import Settings
from cdc_cli.wiring_bench import kafka_site, mongo_site, postgres_site


class Part(StrEnum):
    """`--only`."""

    WATCH = "watch"
    SYNC = "sync"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for."""

    events: int
    size: DocumentSize
    rate: float
    seconds: float
    parts: frozenset[Part]


def plan_lines(settings: Settings, wishes: Wishes) -> Iterator[str]:
    """What a run is going to make and to write, for people to agree to."""
    topics, spare = settings.kafka.create_topics, wishes.events + SPARE
    load = int(wishes.rate * wishes.seconds) if Part.LATENCY in wishes.parts else 0
    yield "this writes to the servers of the configuration, under names that begin with cdc_bench_:"
    if wishes.parts - {Part.LATENCY}:
        size = f"about {spare * BYTES[wishes.size] / 1e6:,.0f} MB"
        yield f"  {spare:,} {wishes.size} documents ({size}), each updated once, through all three servers"
    if load:
        yield f"  {load:,} documents at {wishes.rate:,.0f}/s for {wishes.seconds:,.0f} s"
    yield f"  MongoDB: collections in the database {DATABASE}; all of it passes the oplog"
    yield f"  Kafka: 3 topics with {topics.partitions} partitions, and their consumer groups"
    yield "  PostgreSQL: a schema with a table for each collection"
    yield "everything is removed at the end; your collections, topics, tables, token and offsets are not touched"


def run_bench(
    settings: Settings, wishes: Wishes, tell: Callable[[str], None], clock: Clock, ended: threading.Event
) -> Report:
    """Measure and clean up. Blocks for most of a minute; `tell` takes what is being done.

    Raises CdcError, and KeyboardInterrupt when `ended` was set, both with what was left behind told before.
    """
    run = Run.new(clock.time(), os.urandom(3))
    report = Report(run, _about(settings, wishes), _uses_confluent(settings))
    folder = make_folder(run)
    try:
        with ExitStack() as stack:
            _Bench(settings, wishes, run, folder, tell, clock, ended, stack).measure(report)
    except Stopped:
        raise KeyboardInterrupt from None
    finally:
        tell("removing what the bench has made")
        report.cleaned = clean_up(settings, run, str(folder), clock)
        for left in report.cleaned.left:
            tell(f"left behind: {left.thing.kind} {left.thing.name}: {left.reason}\n    {left.command}")
    return report


def clean_up(settings: Settings, run: Run, folder: str, clock: Clock) -> Cleaned:
    """Remove all that this run has made, by connections of its own. Never raises CdcError."""
    cleaned, there = Cleaned(), expected(run, folder)
    for kinds, opener in openers(settings, clock):
        mine = [thing for thing in there if thing.kind in kinds]
        try:
            site = opener()
        except CdcError as error:
            site = _Closed(kinds, error)
        one = clean_run([site], run, mine, lambda thing: command(thing, settings))
        site.close()
        cleaned.removed += one.removed
        cleaned.left += one.left
    return cleaned


def openers(settings: Settings, clock: Clock) -> list[tuple[tuple[Kind, ...], Callable[[], Site]]]:
    """Every place, in the order of cleaning."""
    return [
        ((Kind.COLLECTION,), lambda: mongo_site(settings)),
        ((Kind.GROUP, Kind.TOPIC), lambda: kafka_site(settings, clock)),
        ((Kind.SCHEMA,), lambda: postgres_site(settings)),
        ((Kind.FOLDER,), FolderSite),
    ]


class _Closed:
    """A place that cannot be reached."""

    def __init__(self, kinds: tuple[Kind, ...], error: CdcError) -> None:
        self.kinds = kinds
        self._error = error

    def find(self, run: Run | None) -> list[Thing]:
        raise self._error

    def remove(self, thing: Thing) -> None:
        raise self._error

    def close(self) -> None:
        """Nothing is open."""


class _Bench:
    def __init__(
        self,
        settings: Settings,
        wishes: Wishes,
        run: Run,
        folder: Path,
        tell: Callable[[str], None],
        clock: Clock,
        ended: threading.Event,
        stack: ExitStack,
    ) -> None:
        self._settings = settings
        self._wishes = wishes
        self._run = run
        self._folder = folder
        self._tell = tell
        self._clock = clock
        self._ended = ended
        self._mongo: MongoSite = mongo_site(settings)
        stack.callback(self._mongo.close)
        self._postgres: PostgresSite = postgres_site(settings)
        stack.callback(self._postgres.close)

    def measure(self, report: Report) -> None:
        parts = self._wishes.parts
        self._check()
        since = datetime.datetime.fromtimestamp(self._mongo.now(), datetime.UTC).isoformat()
        self._postgres.begin(self._run)
        if parts & {Part.WATCH, Part.SYNC}:
            self._drain(report, since)
        if Part.LATENCY in parts:
            self._measure_latency(report)

    def _drain(self, report: Report, since: str) -> None:
        run, wishes = self._run, self._wishes
        given = bench_settings(self._settings, run, self._folder, run.events, run, since)
        self._tell(f"writing {wishes.events + SPARE:,} {wishes.size} documents to MongoDB")
        self._mongo.fill(run.events, wishes.events + SPARE, wishes.size, self._ended)
        inserted = self._pass(report, given, "inserts")
        self._tell("updating every document")
        self._mongo.update_all(run.events)
        updated = self._pass(report, given, "updates")
        if Part.SYNC in wishes.parts:
            again = bench_settings(self._settings, run, self._folder, run.events, run.replay)
            self._tell("sync: reading everything again, all of it stale")
            self._check()
            report.stages.append(drain_sync(again, "stale", inserted + updated, self._ended, self._clock))

    def _pass(self, report: Report, given: Settings, work: str) -> int:
        """One backlog through both stages as far as asked for; the events that are in Kafka then."""
        parts = self._wishes.parts
        self._check()
        self._tell(f"watch: {work} from MongoDB to Kafka")
        watched = drain_watch(given, work, self._wishes.events, self._ended, self._clock)
        if Part.WATCH in parts:
            report.stages.append(watched)
        if Part.SYNC in parts:
            self._check()
            self._tell(f"sync: {work} from Kafka to PostgreSQL")
            report.stages.append(drain_sync(given, work, watched.events, self._ended, self._clock))
        return watched.events

    def _measure_latency(self, report: Report) -> None:
        run, wishes = self._run, self._wishes
        self._check()
        self._tell(f"latency: {wishes.rate:,.0f} documents a second for {wishes.seconds:,.0f} s")
        given = bench_settings(self._settings, run, self._folder, run.latency, run.latency)
        report.load = Load(wishes.rate, wishes.seconds, wishes.size)
        test = LatencyTest(run, self._mongo, self._postgres, self._ended, self._clock)
        report.delays = test.measure(given, report.load)

    def _check(self) -> None:
        if self._ended.is_set():
            raise Stopped("the bench")


def _uses_confluent(settings: Settings) -> bool:
    client = settings.kafka.client
    return client == "confluent" or (client == "auto" and importlib.util.find_spec("confluent_kafka") is not None)


def _about(settings: Settings, wishes: Wishes) -> dict[str, Any]:
    return {
        "events": wishes.events,
        "size": wishes.size.value,
        "kafka_client": "confluent" if _uses_confluent(settings) else "kafka-python",
        "partitions": settings.kafka.create_topics.partitions,
        "workers": settings.syncer.workers,
        "max_rows": settings.syncer.batch.max_rows,
        "max_wait_ms": round(settings.syncer.batch.max_wait * 1000, 1),
        "cores": os.cpu_count(),
    }
