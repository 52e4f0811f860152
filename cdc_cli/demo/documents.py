"""What the documents of the game look like, and how they change. Every BSON type that a game may use occurs."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bson import Decimal128, Int64, ObjectId, Regex, Timestamp

Document = dict[str, Any]

_NAMES = ("Zoë", "Łukasz", "Мария", "東方不敗", "أمينة", "Αθηνά", "O'Brien", 'Dwayne "The Wall"', "🐉 drago 👑", "नीलम")
_ITEMS = ("sword", "potion", "shield", "Ring of Äther", "torch", "rope", "map")
_ODD: Document = {
    "int64": Int64(9_223_372_036_854_775_807),
    "beyond_double": Int64(9_007_199_254_740_993),
    "decimals": [Decimal128("0.10"), Decimal128("1E+6000"), Decimal128("NaN")],
    "doubles": [0.1, 1e-300, 1.7976931348623157e308, float("inf"), float("nan")],
    "born": datetime.datetime(1815, 12, 10),
    "banned_until": datetime.datetime(9999, 12, 31, 23, 59, 59, 999_000),
    "avatar": bytes(range(256)),
    "device": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "clock": Timestamp(1_700_000_000, 7),
    "filter": Regex("^orc.*\\d+$", "im"),
    "": "the empty name",
    "dotted.name": {"$price": 1, "__proto__": None, "quote\"d": "back\\slash\nand\ttab"},
    "nested": {"a": [{"b": [[], {}, [{"c": {"d": ["deep"]}}]]}]},
}
"""What breaks careless pipelines."""


class Kind(Protocol):
    """One collection's documents. `rng` decides everything, so that a story can be told again."""

    collection: str

    def new_id(self, rng: random.Random) -> Any:
        """An `_id` that no other call returns."""
        ...

    def document(self, rng: random.Random) -> Document:
        """A whole document without its `_id`."""
        ...

    def change(self, rng: random.Random) -> Document:
        """Update operators that certainly change a document of this kind."""
        ...


@dataclass(slots=True)
class Players:
    """Strings as ids, like player names; every twentieth player is odd."""

    story: int
    now: Callable[[], datetime.datetime]
    collection: str = "players"
    _count: int = 0

    def new_id(self, rng: random.Random) -> str:
        self._count += 1
        return f"player-{self.story}-{self._count:06d}"

    def document(self, rng: random.Random) -> Document:
        odd = {"odd": _ODD} if rng.random() < 0.05 else {}
        return {
            "name": rng.choice(_NAMES),
            "level": rng.randrange(1, 60),
            "xp": Int64(rng.randrange(1 << 40)),
            "gold": Decimal128(f"{rng.randrange(100_000)}.{rng.randrange(100):02d}"),
            "active": rng.random() < 0.7,
            "guild": None,
            "position": {"x": rng.uniform(-1e3, 1e3), "y": rng.uniform(-1e3, 1e3), "zone": "north"},
            "friends": [],
            "born": datetime.datetime(1950, 1, 1) + datetime.timedelta(days=rng.randrange(22_000)),
            "last_seen": self.now(),
        } | odd

    def change(self, rng: random.Random) -> Document:
        change: Document = {
            "$set": {"last_seen": self.now(), "position.x": rng.uniform(-1e3, 1e3), "guild": rng.choice(_NAMES)},
            "$inc": {"xp": Int64(rng.randrange(1, 5000)), "level": 1},
        }
        if rng.random() < 0.3:
            change["$push"] = {"friends": {"$each": [f"player-{rng.randrange(1000)}"], "$slice": -5}}
        return change


@dataclass(slots=True)
class Inventories:
    """UUIDs as ids; arrays of objects."""

    collection: str = "inventories"

    def new_id(self, rng: random.Random) -> uuid.UUID:
        return uuid.UUID(int=rng.getrandbits(128), version=4)

    def document(self, rng: random.Random) -> Document:
        items = [self._item(rng) for _ in range(rng.randrange(6))]
        return {"items": items, "slots": 20, "weight": rng.uniform(0, 80), "changes": 0}

    def change(self, rng: random.Random) -> Document:
        change: Document = {"$inc": {"changes": 1}}
        change |= rng.choice(
            (
                {"$push": {"items": {"$each": [self._item(rng)], "$position": 0, "$slice": 20}}},
                {"$pull": {"items": {"item": rng.choice(_ITEMS)}}},
                {"$set": {f"equipped.{rng.choice(('head', 'hand', 'feet'))}": self._item(rng)}},
                {"$unset": {"equipped.head": ""}},
            )
        )
        return change

    def _item(self, rng: random.Random) -> Document:
        return {"item": rng.choice(_ITEMS), "count": rng.randrange(1, 10), "price": Decimal128(f"{rng.random():.4f}")}


@dataclass(slots=True)
class Matches:
    """ObjectIds as ids; nested objects and a growing array."""

    now: Callable[[], datetime.datetime]
    collection: str = "matches"

    def new_id(self, rng: random.Random) -> ObjectId:
        return ObjectId(rng.randbytes(12))

    def document(self, rng: random.Random) -> Document:
        score = {"red": 0, "blue": 0}
        return {"map": rng.choice(_ITEMS), "started": self.now(), "score": score, "rounds": [], "ended": None}

    def change(self, rng: random.Random) -> Document:
        team = rng.choice(("red", "blue"))
        a_round = {"winner": team, "seconds": rng.uniform(5, 300), "at": self.now()}
        return {"$inc": {f"score.{team}": 1}, "$push": {"rounds": {"$each": [a_round], "$slice": -8}}}
