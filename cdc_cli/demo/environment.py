"""The servers of one demonstration, in one folder: started together, described in a cdc.yaml, stopped, removed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from cdc_cli.demo.arrival import PARAMETERS
from cdc_cli.demo.servers import EmbeddedKafka, EmbeddedMongo, EmbeddedPostgres, EmbeddedServer
from cdc_cli.demo.words import COLLECTIONS, DATABASE, NAME

_CONFIG = """\
# Written by `cdc demo`: the pipeline between its embedded servers. `cdc run -c {path}` runs it.
version: 1
name: {name}
mongodb:
  uri: {uri}
  database: {database}
  collections: [{collections}]
kafka:
  bootstrap_servers: [{bootstrap}]
  create_topics: {{partitions: 4}}
  consumer: {{session_timeout: 6s}}   # the embedded broker delays a group's first member by half of it
postgres:
  dsn: {dsn}
  pool: {{min: 4, max: 10}}
token_store:
  file: {{path: {token}}}
syncer:
  workers: 4
  batch: {{max_wait: 100ms}}          # the default of 500ms makes larger batches and a longer way
"""


class Environment:
    """MongoDB, Kafka and PostgreSQL. Building it starts nothing; one thread at a time may use it.

    With `keep` the servers live on when this process ends, unless `stop` was called.
    """

    def __init__(self, folder: Path, keep: bool = False) -> None:
        self.folder = folder
        self.mongodb = EmbeddedMongo(folder / "mongodb", keep=keep)
        self.kafka = EmbeddedKafka(folder / "kafka", keep=keep)
        self.postgres = EmbeddedPostgres(folder / "postgresql", keep=keep, parameters=PARAMETERS)

    @property
    def servers(self) -> tuple[EmbeddedServer, ...]:
        return self.mongodb, self.kafka, self.postgres

    @property
    def config(self) -> Path:
        """The cdc.yaml that connects to the servers; `start` writes it."""
        return self.folder / "cdc.yaml"

    def start(self, is_up: Callable[[EmbeddedServer], None]) -> None:
        """Start all servers at once and tell of each when it is up. Blocks a few seconds.

        Raises the ServerError of the first one that failed, after the others have ended their start.
        """
        errors: dict[str, Exception] = {}

        def start(server: EmbeddedServer) -> None:
            try:
                server.start()
                is_up(server)
            except Exception as error:
                errors[server.name] = error

        threads = [
            threading.Thread(target=start, args=(server,), name=f"demo-{server.name}") for server in self.servers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for server in self.servers:
            if server.name in errors:
                raise errors[server.name]
        self._write_config()

    def stop(self) -> None:
        """End every server; harmless when none runs. Blocks about a second."""
        self.postgres.stop_immediately()
        for server in self.servers:
            server.stop(grace=5.0)

    def remove(self, but_logs: bool = False) -> None:
        """Delete the folder; of a run that failed, all but the logs and the configuration."""
        if but_logs:
            for server in self.servers:
                shutil.rmtree(server.folder / "data", ignore_errors=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write_config(self) -> None:
        text = _CONFIG.format(
            path=self.config,
            name=NAME,
            uri=json.dumps(self.mongodb.uri),
            database=DATABASE,
            collections=", ".join(COLLECTIONS),
            bootstrap=json.dumps(self.kafka.bootstrap),
            dsn=json.dumps(self.postgres.dsn),
            token=json.dumps(str(self.folder / "state" / "cdc-token.json")),
        )
        self.config.touch(mode=0o600)
        self.config.write_text(text, encoding="utf-8")
