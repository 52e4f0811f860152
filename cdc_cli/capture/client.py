"""How we connect to MongoDB: bounded waits everywhere, and one server for the life of a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from cdc_cli.capture.errors import translate
from cdc_cli.settings.models import MongoSettings

SELECTION_MS = 5_000
CONNECT_MS = 5_000
SOCKET_MS = 60_000
"""Longer than any `getMore` waits: an answer that takes longer means that the connection is dead."""


class StickyServer:
    """Chooses the same server as long as it is eligible: a cursor lives on one mongos only."""

    def __init__(self) -> None:
        self._address: object = None

    def __call__(self, servers: Sequence[Any]) -> Sequence[Any]:
        for server in servers:
            if server.address == self._address:
                return [server]
        if servers:
            self._address = servers[0].address
        return servers[:1]


def connect(
    settings: MongoSettings, application: str, socket_ms: int = SOCKET_MS
) -> MongoClient[Any]:
    """A client; connects in the background. Raises ConfigError for a URI that cannot be understood."""
    try:
        return MongoClient(
            settings.uri.get_secret_value(),
            appname=application[:128],
            serverSelectionTimeoutMS=SELECTION_MS,
            connectTimeoutMS=CONNECT_MS,
            socketTimeoutMS=socket_ms,
            maxPoolSize=8,
            server_selector=StickyServer(),
        )
    except (PyMongoError, ValueError) as exc:
        raise translate("reading mongodb.uri", exc) from exc
