"""The documents that are measured with: small (200 B), game (about 450 B), large (20 KB), huge (1 MB)."""

from __future__ import annotations

import datetime
from typing import Any

from pymongo import UpdateOne

_LOG_ENTRIES = {"large": 300, "huge": 14_500}


def document(number: int, kind: str) -> dict[str, Any]:
    """The n-th document of a kind; `_id` is left to the driver (an ObjectId)."""
    if kind == "small":
        return {"name": f"player{number}", "level": number % 100, "active": True, "note": "x" * 146}
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
    entries = _LOG_ENTRIES.get(kind, 0)
    if entries:
        game["log"] = [{"at": n, "what": "picked up an item", "where": "the old tower"} for n in range(entries)]
    return game


def insert(collection: Any, count: int, kind: str) -> None:
    """Fill the collection, 5,000 documents a call, or fewer large ones."""
    step = {"large": 500, "huge": 20}.get(kind, 5000)
    for start in range(0, count, step):
        collection.insert_many([document(n, kind) for n in range(start, min(count, start + step))], ordered=False)


def update(collection: Any, count: int) -> None:
    """Change each of the first `count` documents once, by commands that change one document each."""
    ids = [found["_id"] for found in collection.find({}, {"_id": 1}).limit(count)]
    for start in range(0, len(ids), 5000):
        changes = [UpdateOne({"_id": id_}, {"$inc": {"xp": 1}}) for id_ in ids[start : start + 5000]]
        collection.bulk_write(changes, ordered=False)
