"""A pipeline of one test: its own database, topics, group, PostgreSQL database and token, on shared servers."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cdc_cli.demo.servers.process import wait_until
from tests.support.cdc_process import CdcProcess, Ended, run_cdc
from tests.support.compare import Difference, compare
from tests.support.rows import query

if TYPE_CHECKING:
    from pymongo.database import Database

    from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedPostgres

Config = dict[str, Any]
READY = {"watch": "watch.started", "sync": "sync.started", "run": "sync.started"}


class Pipeline:
    """Change `config` (or `set`) before a process starts; every start writes a new cdc.yaml from it."""

    def __init__(self, name: str, folder: Path, database: Database[Any], dsn: str, config: Config) -> None:
        self.name = name
        self.folder = folder
        self.database = database
        self.dsn = dsn
        self.config = config
        self._running = ExitStack()
        self._started = 0

    @property
    def group(self) -> str:
        return f"cdc-sync-{self.name}"

    @property
    def dead_letter_topic(self) -> str:
        return f"cdc.dlq.{self.name}"

    @property
    def token_file(self) -> Path:
        return Path(self.config["token_store"]["file"]["path"])

    def set(self, path: str, value: Any) -> None:
        """`set("syncer.batch.max_rows", 10)`."""
        *sections, key = path.split(".")
        place = self.config
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value

    def topic(self, collection: str) -> str:
        return f"{self.name}.{self.database.name}.{collection}"

    def write_config(self, changes: Mapping[str, Any] | None = None) -> Path:
        """A new cdc.yaml; `changes` are dotted paths for this one file."""
        other = Pipeline(self.name, self.folder, self.database, self.dsn, copy.deepcopy(self.config))
        for path, value in (changes or {}).items():
            other.set(path, value)
        self._started += 1
        file = self.folder / f"cdc-{self._started}.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(other.config, sort_keys=False))
        return file

    def start(
        self, command: str, *args: str, changes: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None, ready: bool = True,
    ) -> CdcProcess:
        """Start a service; with `ready` wait until it says that it has started. Killed when the test ends."""
        config = self.write_config(changes)
        log = self.folder / f"{command}-{self._started}.log"
        process = CdcProcess(log, command, "-c", str(config), *args, env=env)
        self._running.enter_context(process)
        if ready:
            process.wait_for(READY[command], timeout=60)
        return process

    def watch(self, *args: str, **options: Any) -> CdcProcess:
        return self.start("watch", *args, **options)

    def sync(self, *args: str, **options: Any) -> CdcProcess:
        return self.start("sync", *args, **options)

    def run(
        self, *args: str, changes: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Ended:
        """Run a command to its end, with a configuration file as its last arguments."""
        config = self.write_config(changes)
        return run_cdc(*args, "-c", str(config), folder=self.folder, env=env, timeout=timeout)

    def differences(self, *collections: str) -> list[Difference]:
        """What PostgreSQL has otherwise than MongoDB, in these or all collections."""
        return compare(self.database, self.dsn, collections)

    def wait_in_sync(self, *processes: CdcProcess, timeout: float = 60.0, collections: tuple[str, ...] = ()) -> None:
        """Blocks until every row equals its document and no row is left over; says what differs otherwise."""
        found: list[Difference] = []
        end = time.monotonic() + timeout

        def equal() -> bool:
            for process in processes:
                assert process.exit_code is None, f"{process} ended with {process.exit_code}\n{process.tail()}"
            began = time.monotonic()
            found[:] = self.differences(*collections)
            if found:
                time.sleep(min(max(0.1, time.monotonic() - began), max(0.0, end - time.monotonic())))
            return not found

        if not wait_until(equal, timeout):
            shown = "\n".join(map(str, found[:20]))
            logs = "\n".join(f"--- {process}\n{process.tail()}" for process in processes)
            raise AssertionError(f"{len(found)} differences after {timeout:g} s:\n{shown}\n{logs}")

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """SQL on the target, on a connection of its own."""
        return query(self.dsn, sql, *args)

    def rows(self, collection: str) -> dict[str, Any]:
        """`_id` text -> parsed document; nothing when there is no table yet."""
        if self.query("SELECT to_regclass(%s)", f'public."{collection}"') == [(None,)]:
            return {}
        return dict(self.query(f'SELECT _id, document FROM public."{collection}"'))

    def token(self) -> dict[str, Any] | None:
        """The body of the stored token record (file store), None when there is none."""
        if not self.token_file.exists():
            return None
        record: dict[str, Any] = json.loads(self.token_file.read_bytes())["record"]
        return record

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        assert wait_until(condition, timeout), f"not within {timeout:g} s: {what}"

    def close(self) -> None:
        """Kill what still runs."""
        self._running.close()


def new_config(name: str, mongo_uri: str, database: str | None, bootstrap: str, dsn: str, folder: Path) -> Config:
    """A configuration with short waits; everything that tests do not care about has its default."""
    return {
        "name": name,
        "mongodb": {"uri": mongo_uri, "database": database},
        "kafka": {
            "bootstrap_servers": [bootstrap],
            "client": "kafka-python",
            "topic": "{name}.{database}.{collection}",
            "create_topics": {"partitions": 3},
            "consumer": {"session_timeout": "6s"},
        },
        "postgres": {"dsn": dsn, "pool": {"min": 1, "max": 8}},
        "token_store": {"backend": "file", "file": {"path": str(folder / "state" / "token.json")}},
        "watcher": {"shutdown_timeout": "10s", "heartbeat": "1s"},
        "syncer": {"workers": 2, "batch": {"max_wait": "100ms"}, "shutdown_timeout": "10s"},
        "retry": {"max_delay": "1s"},
        "logging": {"format": "json"},
    }


@pytest.fixture
def pipeline(
    mongo: EmbeddedMongo, kafka: ApacheKafka, mongo_database: Database[Any], postgres_dsn: str,
    postgres: EmbeddedPostgres, unique: str, tmp_path: Path,
) -> Iterator[Pipeline]:
    """A fresh pipeline on the shared servers: nothing runs yet."""
    config = new_config(unique, mongo.uri, mongo_database.name, kafka.bootstrap, postgres_dsn, tmp_path)
    made = Pipeline(unique, tmp_path, mongo_database, postgres_dsn, config)
    yield made
    made.close()
