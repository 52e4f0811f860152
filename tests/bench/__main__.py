"""`python -m tests.bench [--quick] [--json FILE]`: all in one run, ours and the limit in turn, medians and ratios."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
from pathlib import Path

from tests.bench.cases import CLIENTS, Cases
from tests.bench.report import Report
from tests.bench.site import Site

STAGES = ("watch", "sync", "latency", "start")
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about four minutes instead of more than an hour")
    parser.add_argument("--events", type=int, default=0, help="per case (default 1,000,000; quick 100,000)")
    parser.add_argument("--repeats", type=int, default=0, help="runs of each case (default 3; quick 1)")
    parser.add_argument("--only", default=",".join(STAGES), help="comma-separated: %(default)s, and flat")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    only = set(options.only.split(","))
    if unknown := only - {*STAGES, "flat"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    python = platform.python_version()
    report = Report(f"{datetime.date.today()}, {platform.platform()}, {os.cpu_count()} cores, Python {python}")
    events = options.events or (100_000 if options.quick else MILLION)
    with tempfile.TemporaryDirectory(prefix="cdc-bench-") as name:
        site = Site(Path(name))
        cases = Cases(site, report, options.repeats or (1 if options.quick else 3))
        with site.mongo, site.kafka, site.postgres:
            run(site, cases, events, only, options.quick)
    print(f"\n{report.table()}")
    if options.json:
        report.write(options.json)


def run(site: Site, cases: Cases, events: int, only: set[str], quick: bool) -> None:
    if "watch" in only:
        watch(cases, events, quick)
    if "sync" in only:
        sync(site, cases, events, quick)
    if "flat" in only:
        flat(site, cases)
    if "latency" in only:
        cases.latencies([1000] if quick else [100, 1000, 5000], 10 if quick else 20)
    if "start" in only:
        cases.start_up()


def watch(cases: Cases, events: int, quick: bool) -> None:
    for client in CLIENTS:
        cases.watch(events, "game", client)
    if quick:
        return
    cases.watch(events // 4, "game", "confluent", updates=True)
    for kind, share in (("small", 1), ("large", 50), ("huge", 2500)):
        cases.watch(events // share, kind, "confluent")
    for partitions in (1, 4):
        cases.watch(events // 4, "game", "confluent", partitions)


def sync(site: Site, cases: Cases, events: int, quick: bool) -> None:
    given = site.topic(events, "game", 12)
    cases.copy(given, events)
    for client in CLIENTS:
        synced = cases.sync(given, events, "game", client)
    cases.stale(synced, events)
    for workers in (16,) if quick else (1, 2, 4, 16):
        cases.sync(given, events, "game", "confluent", workers, bare=False)
    if quick:
        return
    for count in (1, 2):
        cases.processes(given, events, "confluent", count)
    cases.updates(cases.sync(given, events, "game", "confluent", bare=False), events)
    for kind, share in (("small", 1), ("large", 50), ("huge", 2500)):
        cases.sync(site.topic(events // share, kind, 12), events // share, kind, "confluent")
    for partitions in (1, 4):
        given = site.topic(events // 4, "game", partitions)
        cases.sync(given, events // 4, f"game ({partitions} partitions)", "confluent")


def flat(site: Site, cases: Cases) -> None:
    """Whether the cost of an event depends on how many there are: a hundred thousand, a million, five million."""
    for events in (MILLION // 10, MILLION, 5 * MILLION):
        cases.watch(events, "game", "confluent")
        cases.sync(site.topic(events, "game", 12), events, "game", "confluent", bare=False)


if __name__ == "__main__":
    main()
