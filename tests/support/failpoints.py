"""Errors that MongoDB answers with because we told it to: `failCommand`, as the tests of the drivers use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from cdc_cli.demo.servers import EmbeddedMongo


@contextmanager
def failing(mongo: EmbeddedMongo, application: str, command: str, code: int, times: int = 0) -> Iterator[None]:
    """While inside, that command of that application fails with that code; `times` = 0: every time."""
    mode: Any = {"times": times} if times else "alwaysOn"
    data = {"failCommands": [command], "errorCode": code, "appName": application}
    with MongoClient[Any](mongo.uri) as client:
        client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
