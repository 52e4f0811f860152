"""The documents that are sent: small (about 200 B of BSON), game (400 to 900 B) and large (20 KB). Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class DocumentSize(StrEnum):
    """`--size`."""

    SMALL = "small"
    GAME = "game"
    LARGE = "large"


BYTES: Mapping[DocumentSize, int] = {DocumentSize.SMALL: 200, DocumentSize.GAME: 650, DocumentSize.LARGE: 20_000}
"""What a document takes as BSON, on the average."""


def document(number: int, size: DocumentSize) -> dict[str, Any]:
    """The n-th document of a size; `_id` is left to the driver (an ObjectId)."""
    if size is DocumentSize.SMALL:
        return {"name": f"player{number}", "level": number % 100, "active": True, "note": "x" * 110}
    game = {
        "name": f"player{number}",
        "level": number % 100,
        "xp": number * 3,
        "gold": 1.5 * number,
        "guild": "dragons",
        "last_seen": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "flags": [1, 2, 3],
        "profile": {"country": "DE", "lang": "de", "email": f"p{number}@example.com"},
        "inventory": [{"item": "sword", "n": 1}, {"item": "potion", "n": 5}],
        "bio": "x" * (80 + number * 7 % 490),
        "active": True,
    }
    if size is DocumentSize.LARGE:
        game["log"] = [{"at": n, "what": "picked up an item", "where": "the old tower"} for n in range(270)]
    return game
