"""Changes to feed writers with."""

from __future__ import annotations

import json
from typing import Any

from cdc_cli.apply import Change
from cdc_cli.events import Position

PLAYERS = "game.players"
UNREADABLE = b'{"level": NaN}'
"""A document that PostgreSQL refuses as jsonb, and a strict JSON parser too."""


def position(number: int) -> bytes:
    return Position(1_764_046_833, number, 0).text.encode()


def upsert(id_: str, at: int, table: str = PLAYERS, id_type: str = "string", **fields: Any) -> Change:
    """The document `{"_id": ..., "at": ...}` and further fields, at position number `at`."""
    document = json.dumps({"_id": id_, "at": at, **fields}).encode()
    time_ms = 1_764_046_833_000 + at
    return Change(table, id_.encode(), id_type, position(at), time_ms, document, ("record", at))


def delete(id_: str, at: int, table: str = PLAYERS, id_type: str = "string") -> Change:
    return upsert(id_, at, table, id_type)._replace(document=None)


def poison(id_: str, at: int, table: str = PLAYERS) -> Change:
    return upsert(id_, at, table)._replace(document=UNREADABLE)
