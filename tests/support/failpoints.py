"""Errors that MongoDB answers with because we told it to: `failCommand`, as the tests of the drivers use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from cdc_cli.demo.servers import EmbeddedMongo


@contextmanager
def failing(mongo: EmbeddedMongo, application: str, commands: Sequence[str], code: int) -> Iterator[None]:
    """While inside, those commands of that application fail with that code."""
    data = {"failCommands": list(commands), "errorCode": code, "appName": application}
    with MongoClient[Any](mongo.uri) as client:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
