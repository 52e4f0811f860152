"""Our services, by the same wiring as the commands: `{"service": "watch"|"sync", "settings": {...}, "events": N}`.

With `"shared": true` several such processes do the N events together: each ends when the group's offsets in
PostgreSQL, which are stored once a second, say that all is done.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from pathlib import Path

import psycopg2

from cdc_cli.capture.pipeline import stream_name
from cdc_cli.checkpoint import TokenRecord, Writer
from cdc_cli.checkpoint.stores import make_store
from cdc_cli.clock import SystemClock
from cdc_cli.events import Mark
from cdc_cli.observe.counters import Counters
from cdc_cli.settings.models import Settings
from cdc_cli.wiring import wire
from cdc_cli.workers.runtime import tune_interpreter
from cdc_cli.workers.services import SyncService, WatchService
from cdc_cli.workers.supervisor import Supervisor
from tests.bench.measure import Meter

APPLIED = ("inserted", "updated", "deleted", "stale", "merged")


def main() -> None:
    arguments = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    settings = Settings.model_validate(arguments["settings"])
    stop = threading.Event()
    if "start_at" in arguments:
        _begin_at(settings, arguments["start_at"])
    with wire(settings, stop) as container:
        counters = container.get(Counters)
        service = container.get(WatchService) if arguments["service"] == "watch" else container.get(SyncService)
        names = ("published",) if arguments["service"] == "watch" else APPLIED
        first = "read" if arguments["service"] == "watch" else "consumed"
        service.prepare()
        tune_interpreter()
        supervisor = Supervisor(stop, SystemClock(), 30)
        meter = Meter()
        meter.start()
        service.spawn(supervisor)
        while not counters.get(first) and not stop.is_set():
            time.sleep(0.002)
        if arguments["service"] == "sync":
            meter.start()

        def done() -> int:
            return int(sum(counters.get(name) for name in names))

        if arguments.get("shared"):
            while _stored(settings) < arguments["events"] and not stop.is_set():
                time.sleep(0.05)
        else:
            while done() < arguments["events"] and not stop.is_set():
                time.sleep(0.02)
        meter.stop(done() if arguments.get("shared") else arguments["events"])
        supervisor.join()
        service.close()


def _stored(settings: Settings) -> int:
    connection = psycopg2.connect(settings.postgres.dsn)
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM cdc.offsets")
        (total,) = cursor.fetchone() or (0,)
    connection.close()
    return int(total)


def _begin_at(settings: Settings, time_and_increment: list[int]) -> None:
    """A token that names a cluster time, as `cdc token reset --to-datetime` writes it."""
    Path(settings.token_store.file.path).parent.mkdir(parents=True, exist_ok=True)
    store = make_store(settings, SystemClock(), lambda seconds: bool(time.sleep(seconds)))
    store.acquire()
    mark = Mark({}, None, (time_and_increment[0], time_and_increment[1]), False)
    stream = stream_name(settings.mongodb, settings.shard)
    store.save(TokenRecord(mark, stream, "", "", "", time.time(), Writer("bench", 0, "0"), "bench"))
    store.release()


if __name__ == "__main__":
    main()
