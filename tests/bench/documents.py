"""The documents that are measured with: small (200 B), game (about 450 B), large (20 KB)."""

from __future__ import annotations

import datetime
from typing import Any


def document(number: int, kind: str) -> dict[str, Any]:
    """The n-th document of a kind; `_id` is left to the driver (an ObjectId)."""
    if kind == "small":
        return {"name": f"player{number}", "level": number % 100, "active": True, "note": "x" * 80}
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
        "bio": "x" * 120,
        "active": True,
    }
    if kind == "large":
        game["log"] = [{"at": n, "what": "picked up an item", "where": "the old tower"} for n in range(300)]
    return game


def insert(collection: Any, count: int, kind: str) -> None:
    """Fill the collection, 5,000 documents a call."""
    for start in range(0, count, 5000):
        collection.insert_many([document(n, kind) for n in range(start, min(count, start + 5000))], ordered=False)
