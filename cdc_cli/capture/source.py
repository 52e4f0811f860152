"""What the token commands ask MongoDB, as one object with bounded waits; read-only."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient

from cdc_cli.capture import probe as probing
from cdc_cli.capture import runway
from cdc_cli.capture.client import connect
from cdc_cli.capture.identity import Identity, identify
from cdc_cli.capture.probe import Probe
from cdc_cli.capture.runway import Oplog
from cdc_cli.events import Mark
from cdc_cli.settings.models import MongoSettings

_SOCKET_MS = 10_000


class MongoSource:
    """Connects when it is first asked. Everything but `probe` and `count` may raise Retryable, Denied."""

    def __init__(self, settings: MongoSettings) -> None:
        """Raises ConfigError for a URI that cannot be understood."""
        self._settings = settings
        self._client: MongoClient[Any] = connect(settings, "cdc token", _SOCKET_MS)

    def identity(self) -> Identity:
        """Which deployment this is; raises ConfigError for a standalone server too."""
        return identify(self._client)

    def oplog(self) -> Oplog | None:
        """None on a sharded cluster."""
        return runway.read_oplog(self._client)

    def probe(self, mark: Mark) -> Probe:
        """Whether a stream can go on there."""
        return probing.probe(self._client, self._settings, mark)

    def now(self) -> Mark:
        """The token of a stream that starts now."""
        return probing.now_mark(self._client, self._settings)

    def count(self, since: tuple[int, int], until: tuple[int, int] | None = None) -> int | None:
        """Changes in the oplog between, of the whole deployment; None when it cannot be told quickly."""
        return runway.count_entries(self._client, since, until)

    def close(self) -> None:
        self._client.close()
