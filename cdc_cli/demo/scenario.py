"""The game: what its writers do to MongoDB, as steps. Pure; `writers.py` carries them out.

Each storyline has documents of its own, so that it knows what exists without asking, and all storylines write to
one shared season. Every step changes exactly one document, so steps and changes are counted alike.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

from cdc_cli.demo.documents import Document, Inventories, Kind, Matches, Players
from cdc_cli.events import Operation

Request = InsertOne[Document] | UpdateOne | ReplaceOne[Document] | DeleteOne

SEASON: Document = {"_id": "season-7", "played": 0, "champion": None}
"""The one document, in `matches`, that all storylines write to: order is hardest to keep where everybody writes."""
_BULK = 100
_TRADE = 4
_FEW = 20


class Step(NamedTuple):
    """One document changed once."""

    collection: str
    operation: Operation
    request: Request


class Turn(NamedTuple):
    """Steps that go to the server together: one transaction, or one ordered bulk on one collection."""

    steps: list[Step]
    is_atomic: bool


class Cast:
    """The documents of one kind that one storyline has: those that exist, and those that were deleted."""

    def __init__(self, kind: Kind, rng: random.Random) -> None:
        self._kind = kind
        self._rng = rng
        self._present: list[Any] = []
        self._gone: list[Any] = []

    def step(self) -> Step:
        """The next thing that happens to one of them; it can be the same one several times in a row."""
        chance = self._rng.random()
        if len(self._present) < _FEW or chance < 0.18:
            return self._insert(self._kind.new_id(self._rng))
        if chance < 0.26:
            return self._delete()
        if chance < 0.32 and self._gone:
            return self._insert(self._gone.pop(self._rng.randrange(len(self._gone))))
        return self._replace() if chance < 0.42 else self.update()

    def update(self) -> Step:
        """Operators on one that exists; an insert while there is none."""
        if not self._present:
            return self._insert(self._kind.new_id(self._rng))
        request = UpdateOne({"_id": self._rng.choice(self._present)}, self._kind.change(self._rng))
        return Step(self._kind.collection, Operation.UPDATE, request)

    def _insert(self, id_: Any) -> Step:
        """Also of an `_id` that was deleted: the late delete must not win, nor the early insert."""
        self._present.append(id_)
        document = {"_id": id_, **self._kind.document(self._rng)}
        return Step(self._kind.collection, Operation.INSERT, InsertOne(document))

    def _replace(self) -> Step:
        # The number makes the document certainly another one: an equal replacement is no change.
        document = self._kind.document(self._rng) | {"saved": self._rng.getrandbits(60)}
        request = ReplaceOne({"_id": self._rng.choice(self._present)}, document)
        return Step(self._kind.collection, Operation.REPLACE, request)

    def _delete(self) -> Step:
        id_ = self._present.pop(self._rng.randrange(len(self._present)))
        self._gone.append(id_)
        return Step(self._kind.collection, Operation.DELETE, DeleteOne({"_id": id_}))


class Storyline:
    """The endless story of one writer; `now` gives naive UTC. The same seed tells the same story."""

    def __init__(self, number: int, seed: int, now: Callable[[], datetime.datetime]) -> None:
        self._rng = random.Random(f"{seed}.{number}")
        kinds: tuple[Kind, ...] = (Players(number, now), Inventories(), Matches(now))
        self._players, self._inventories, self._matches = (Cast(kind, self._rng) for kind in kinds)

    def turn(self, limit: int) -> Turn:
        """What happens next: between one and `limit` steps."""
        chance = self._rng.random()
        if chance < 0.15 and limit >= _TRADE:
            return self._trade()
        if chance < 0.20:
            return Turn([self._season()], is_atomic=False)
        cast = self._rng.choices((self._players, self._inventories, self._matches), (5, 3, 2))[0]
        return Turn([cast.step() for _ in range(min(limit, _BULK))], is_atomic=False)

    def _trade(self) -> Turn:
        """Two players exchange an item: all of it or nothing, and all with the same time of commit."""
        casts = (self._players, self._players, self._inventories, self._inventories)
        return Turn([cast.update() for cast in casts], is_atomic=True)

    def _season(self) -> Step:
        change = {"$inc": {"played": 1}, "$set": {"champion": self._rng.choice(("red", "blue"))}}
        return Step("matches", Operation.UPDATE, UpdateOne({"_id": SEASON["_id"]}, change))
