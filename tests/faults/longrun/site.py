"""The servers of a long run, each behind a proxy of ours, and the configuration that leads through the proxies.

Traps: Kafka sends its clients to the address that it advertises, so it advertises the proxy; MongoDB's driver
would discover the member behind the proxy, so the pipeline connects directly to the proxy's address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedPostgres, EmbeddedValkey, Listener
from cdc_cli.demo.servers.process import free_port
from tests.support.pipeline import Config, new_config
from tests.support.proxy import Proxy
from tests.support.rows import connection

LINKS = ("mongodb", "kafka", "postgres", "redis")
NAME = "faults"
LEASE = 5.0
DRAIN_SECONDS = 10.0
"""watcher.shutdown_timeout and syncer.shutdown_timeout."""


class Site:
    """Four servers and four proxies; use as a context manager. `proxies` has the names of LINKS."""

    def __init__(self, folder: Path) -> None:
        door, outside = free_port(), free_port()
        self.folder = folder
        self.mongo = EmbeddedMongo(folder / "mongodb", oplog_mb=512, parameters={"enableTestCommands": "1"})
        self.kafka = ApacheKafka(
            folder / "kafka",
            listeners=[Listener("PROXIED", door, advertised=f"127.0.0.1:{outside}")],
            properties={"group.min.session.timeout.ms": "1000"},
        )
        self.postgres = EmbeddedPostgres(folder / "postgresql")
        self.valkey = EmbeddedValkey(folder / "valkey")
        self.proxies: dict[str, Proxy] = {}
        self.locks = {link: threading.Lock() for link in LINKS}
        """Whoever stops and starts a server holds its lock."""
        self._ports = {"mongodb": self.mongo.port, "kafka": door, "postgres": self.postgres.port,
                       "redis": self.valkey.port}  # fmt: skip
        self._outside = outside
        self._open = ExitStack()

    def __enter__(self) -> Site:
        servers = (self.mongo, self.kafka, self.postgres, self.valkey)
        with self._open.pop_all() as cleanup:
            for server in servers:
                cleanup.callback(server.stop, 5.0)
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda server: server.start(), servers))
            for link, port in self._ports.items():
                outside = self._outside if link == "kafka" else 0
                self.proxies[link] = cleanup.enter_context(Proxy("127.0.0.1", port, port=outside))
            self._client = cleanup.enter_context(MongoClient[dict[str, Any]](self.mongo.uri, tz_aware=True))
            with connection(self.postgres.dsn) as opened, opened.cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{NAME}"')
            self._open = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def database(self) -> Any:
        """The watched database, past the proxy."""
        return self._client[NAME]

    @property
    def dsn(self) -> str:
        """The target, past the proxy."""
        return self.postgres.dsn_for(NAME)

    @property
    def redis_prefix(self) -> str:
        return f"{NAME}:"

    def heal(self) -> None:
        """No network faults any more."""
        for proxy in self.proxies.values():
            proxy.heal()

    @property
    def token_file(self) -> Path:
        return self.folder / "state" / "token.json"

    def config(self, client: str, store: str = "redis") -> Config:
        """cdc.yaml with short timeouts, every link through its proxy."""
        port: Callable[[str], int] = lambda link: self.proxies[link].port  # noqa: E731
        uri = self.mongo.direct_uri(port("mongodb"))
        dsn = f"{self.postgres.dsn_for(NAME, port('postgres'))}?connect_timeout=3&tcp_user_timeout=3000"
        config = new_config(NAME, uri, NAME, f"127.0.0.1:{port('kafka')}", dsn, self.folder)
        config["kafka"]["client"] = client
        config["kafka"]["create_topics"] = {"partitions": 6}
        config["postgres"]["statement_timeout"] = "5s"
        config["postgres"]["pool"] = {"min": 2, "max": 10, "acquire_timeout": "10s"}
        config["token_store"] = {
            "backend": store,
            "file": {"path": str(self.token_file)},
            "redis": {
                "url": f"redis://127.0.0.1:{port('redis')}/0",
                "key_prefix": self.redis_prefix,
                "lease": f"{LEASE:g}s",
            },
        }
        config["watcher"] = {"shutdown_timeout": f"{DRAIN_SECONDS:g}s", "heartbeat": "1s", "start_from": "oldest"}
        config["syncer"]["workers"] = 3
        config["syncer"]["shutdown_timeout"] = f"{DRAIN_SECONDS:g}s"
        config["retry"] = {"initial": "100ms", "max_delay": "1s"}
        return config
