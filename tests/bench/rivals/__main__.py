"""`python -m tests.bench.rivals [--events N] [--repeats N] [--json FILE]`: ours beside others' connectors, in turn.

All on the servers of tests.bench.site and on the same documents. The connectors run in Kafka Connect standalone, one
worker with one connector at a time; the jars come through Maven into the cache folder. See `configs` for what each of
them is told. They do less than ours: no guard against older events, no dead letters, rows of three columns.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
from pathlib import Path

from tests.bench.rivals.cases import Cases
from tests.bench.rivals.report import Report
from tests.bench.site import Site


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rivals", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="per case; fewer measure the start of the JVM")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each case")
    parser.add_argument("--only", default="watch,sync", help="comma-separated: %(default)s")
    parser.add_argument("--tasks", default="4,8", help="tasks.max of the JDBC sink, comma-separated")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := {*only} - {"watch", "sync"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    python = platform.python_version()
    report = Report(f"{datetime.date.today()}, {platform.platform()}, {os.cpu_count()} cores, Python {python}")
    with tempfile.TemporaryDirectory(prefix="cdc-rivals-") as name:
        site = Site(Path(name))
        cases = Cases(site, report, options.events, options.repeats)
        with site.mongo, site.kafka, site.postgres:
            if "watch" in only:
                cases.watch()
            if "sync" in only:
                cases.sync([int(text) for text in options.tasks.split(",")], [False, True])
    print(f"\n{report.table()}")
    if options.json:
        report.write(options.json)


if __name__ == "__main__":
    main()
