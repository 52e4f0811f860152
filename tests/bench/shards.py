"""`python -m tests.bench.shards [--events N] [--shards 1,2] [--rounds 2]`: watchers that share one database, in turn.

Each round drains the same inserts with one watcher, then with all shards at the same time. The rate is that of all
together, from the first event of any to the last of all; CPU is that of the watchers and of mongod, per event.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymongo

from cdc_cli.settings.shard import all_shards
from tests.bench.measure import Result, run_child, together
from tests.bench.site import Settings, Site, Start
from tests.support.slices import owners

_AT_A_TIME = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shards", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--shards", default="1,2", help="numbers of watchers; 1 = without shards")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--client", default="kafka-python")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cdc-bench-") as name:
        site = Site(Path(name))
        with site.mongo, site.kafka, site.postgres:
            database, start = site.fill(options.events, "game")
            for total in [int(text) for text in options.shards.split(",")] * options.rounds:
                print(drain(site, site.settings(database, kafka__client=options.client), start, total), flush=True)


def drain(site: Site, given: Settings, start: Start, total: int) -> str:
    """A line about one drain by `total` watchers."""
    with pymongo.MongoClient[Any](site.mongo.uri) as mongo:
        pid = int(mongo.admin.command("serverStatus")["pid"])
        sizes = _sizes(mongo, given["mongodb"]["database"], total)
    arguments = [{"service": "watch", "settings": given, "events": sizes[0], "start_at": start}]
    if total > 1:
        settings = [{**given, "watcher": {"shard": shard.text}} for shard in all_shards(total)]
        arguments = [
            {**arguments[0], "settings": one, "events": size} for one, size in zip(settings, sizes, strict=True)
        ]
    before = _cpu(pid)
    with ThreadPoolExecutor(total) as pool:
        result: Result = together(list(pool.map(lambda one: run_child("ours", one), arguments)))
    server = (_cpu(pid) - before) / result.events * 1e6
    cpu = f"CPU per event: watchers {result.cpu_us:5.1f} us, mongod {server:5.1f} us"
    return f"{total} watchers: {result.rate:>9,.0f}/s together  {cpu}  {result.peak_mb:4.0f} MB each  shares {sizes}"


def _sizes(mongo: pymongo.MongoClient[Any], database: str, total: int) -> list[int]:
    """How many documents each shard has."""
    ids = [document["_id"] for document in mongo[database].players.find({}, {"_id": 1})]
    sizes = [0] * total
    for begin in range(0, len(ids), _AT_A_TIME):
        for numbers in owners(mongo, ids[begin : begin + _AT_A_TIME], total):
            sizes[numbers[0] - 1] += 1
    return sizes


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
