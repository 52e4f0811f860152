"""A configuration with a token store of its own, and `cdc token` run on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from cdc_cli.capture.pipeline import fingerprint, stream_name
from cdc_cli.capture.source import MongoSource
from cdc_cli.checkpoint import TokenRecord, TokenStore, Writer
from cdc_cli.checkpoint.stores import make_store
from cdc_cli.cli.token import app
from cdc_cli.clock import SystemClock
from cdc_cli.settings.load import load
from cdc_cli.settings.models import Settings


class Site:
    """A configuration on disk with a store of its own, and the command run on it."""

    def __init__(self, config: Path) -> None:
        self.config = config

    @property
    def settings(self) -> Settings:
        return load([self.config], {}).settings

    def store(self) -> TokenStore:
        return make_store(self.settings, SystemClock(), lambda seconds: False)

    def save(self, **fields: Any) -> TokenRecord:
        """What a watcher of this configuration would save now."""
        settings = self.settings.mongodb
        source = MongoSource(settings)
        try:
            replica_set, cluster_id = source.identity()
            record = TokenRecord(
                mark=source.now(),
                stream=stream_name(settings, self.settings.shard),
                fingerprint=fingerprint(settings),
                replica_set=replica_set,
                cluster_id=cluster_id,
                saved_at=SystemClock().time(),
                writer=Writer("pod-0", 4711, "0.1.0"),
            )
        finally:
            source.close()
        record = replace(record, **fields)
        store = self.store()
        store.acquire()
        store.save(record)
        store.release()
        return record

    def stored(self) -> TokenRecord | None:
        store = self.store()
        try:
            return store.load()
        finally:
            store.release()

    def run(self, *args: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [*args, "-c", str(self.config)])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *args: str, code: int = 0) -> dict[str, Any]:
        envelope: dict[str, Any] = json.loads(self.run(*args, "-o", "json", code=code).stdout)
        assert set(envelope) == {"command", "schema", "ok", "summary", "result", "error"}
        return envelope


def write_site(path: Path, uri: str, database: str, store: dict[str, Any]) -> Site:
    tree = {
        "version": 1,
        "name": database,
        "mongodb": {"uri": uri, "database": database, "collections": ["players"]},
        "kafka": {"bootstrap_servers": ["localhost:9092"]},
        "postgres": {"dsn": "postgresql://localhost/x"},
        "token_store": store,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(tree))
    return Site(path)
