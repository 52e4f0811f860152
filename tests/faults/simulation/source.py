"""MongoDB as far as a change stream shows it: an oplog, a cursor with the server's habits, a collection to look up in.

The cursor stands in for `ChangeCursor`; everything above it (fallbacks, marks, positions) is the product's.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import bson
from bson import ObjectId, Timestamp
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect, OperationFailure

from cdc_cli.capture.batch import Batch
from cdc_cli.capture.cursor import Reply
from cdc_cli.errors import PoisonEvent
from tests.faults.history import Changed

if TYPE_CHECKING:
    from tests.faults.simulation.scheduler import Process
    from tests.faults.simulation.world import World

DATABASE = "game"
COLLECTIONS = ("players", "matches")
HEX = "0123456789abcdef01234567"
IDS: Sequence[tuple[Any, str, str]] = (
    (1, "1", "number"),
    ("1", "1", "string"),
    (ObjectId(HEX), HEX, "objectId"),
    (HEX, HEX, "string"),
    (2, "2", "number"),
    ("anna", "anna", "string"),
    ("1.0", "1.0", "string"),
    (True, "true", "bool"),
)
"""`_id`, and the text and type that its row must have: some are the same text and never the same document."""
_ODD = {"undecodable", "refused", "unwritable"}
_SECONDS = 1_764_000_000


class Entry(NamedTuple):
    """One entry of the oplog. `plant` names what is wrong with its document."""

    index: int
    time: tuple[int, int]
    operation: str
    collection: str
    id: Any
    document: Mapping[str, Any] | None
    is_watched: bool


class Source:
    """The deployment: it survives everything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.oplog: list[Entry] = []
        self._documents: dict[tuple[str, int], dict[str, Any]] = {}
        self._time = (0, 0)
        self._ordinal = 0
        self._version = 0
        self._ids = IDS[: world.plan.documents]

    @property
    def last_watched(self) -> int:
        """Index of the newest change that has to arrive."""
        return max((entry.index for entry in self.oplog if entry.is_watched), default=-1)

    def current(self, collection: str, id_: Any) -> Mapping[str, Any] | None:
        """The document now."""
        for at, (candidate, _, _) in enumerate(self._ids):
            if type(candidate) is type(id_) and candidate == id_:
                return self._documents.get((collection, at))
        return None

    def write(self) -> None:
        """One write of the application, or a transaction: several changes with one cluster time."""
        draw = self._world.draw
        self._tick()
        for number in range(draw.choice((1, 1, 1, 1, 2, 4))):
            if draw.random() < 0.15:
                self._append("insert", "unwatched", number, None, False)
            else:
                self._change(draw.choice(COLLECTIONS), draw.randrange(len(self._ids)))

    def _change(self, collection: str, at: int) -> None:
        draw, place = self._world.draw, (collection, at)
        if place not in self._documents:
            operation = "insert"
        else:
            operation = draw.choice(("update", "update", "update", "replace", "delete"))
        document = None
        if operation == "delete":
            del self._documents[place]
        else:
            self._version += 1
            document = {"_id": self._ids[at][0], "v": self._version}
            plant = self._world.plant(("undecodable", "too_large", "refused", "unwritable"))
            if plant:
                document["plant"] = plant
            self._documents[place] = document
        self._append(operation, collection, self._ids[at][0], document, True)
        planted = document is not None and document.get("plant") in _ODD
        name = f"{collection}/{self._ids[at][2]}/{self._ids[at][1]}"
        position = f"{self._time[0]:010d}.{self._time[1]:010d}.{self._ordinal:010d}"
        self._ordinal += 1
        state = str(document["v"]) if document is not None else None
        self._world.record(Changed(len(self.oplog) - 1, name, position, state, planted))

    def _append(self, operation: str, collection: str, id_: Any, document: Any, is_watched: bool) -> None:
        self.oplog.append(Entry(len(self.oplog), self._time, operation, collection, id_, document, is_watched))

    def _tick(self) -> None:
        seconds = _SECONDS + int(self._world.scheduler.now)
        self._time = (seconds, self._time[1] + 1) if seconds == self._time[0] else (seconds, 1)
        self._ordinal = 0


def token_at(index: int, time: tuple[int, int]) -> dict[str, str]:
    """The token that goes on after the entry `index`; begins like a real one."""
    return {"_data": f"82{time[0]:08X}{time[1]:08X}2B{index + 1:08X}"}


def index_of(token: Mapping[str, Any]) -> int:
    return int(str(token["_data"])[20:], 16) - 1


class SimClient:
    """What `MongoCapture` asks of a client besides cursors: documents, and the oldest entry of the oplog."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process

    def __getitem__(self, _: str) -> SimClient:
        return self

    def get_collection(self, name: str, codec_options: object = None) -> _Collection:
        return _Collection(self, name)

    def find_one(self, *_: object, **__: object) -> Mapping[str, Any]:
        self.process.check()
        if not self.world.source.oplog:
            return {"ts": Timestamp(_SECONDS, 0)}
        return {"ts": Timestamp(*self.world.source.oplog[0].time)}


class _Collection:
    def __init__(self, client: SimClient, name: str) -> None:
        self._client = client
        self._name = name

    def find_one(self, query: Mapping[str, Any]) -> RawBSONDocument | None:
        self._client.process.check()
        self._client.world.scheduler.sleep(self._client.world.latency("source.slow"))
        document = self._client.world.source.current(self._name, query["_id"])
        return RawBSONDocument(bson.encode(document)) if document is not None else None


class SimCursor:
    """Stands in for `ChangeCursor`; same signature."""

    def __init__(
        self, client: SimClient, database: str | None, decode_change: Callable[[bytes], Any]
    ) -> None:
        self._world = client.world
        self._process = client.process
        self._decode_change = decode_change
        self._is_slim = False
        self._next = 0
        self._is_open = False

    def open(self, stages: Sequence[Mapping[str, Any]]) -> Reply:
        self._answer()
        options = stages[0]["$changeStream"]
        self._is_slim = len(stages) > 2
        oplog = self._world.source.oplog
        if "startAfter" in options:
            self._next = index_of(options["startAfter"]) + 1
            if self._next and self._world.happens("source.token_unusable", 0.05):
                raise OperationFailure("cannot resume stream; the resume token was not found", 280)
        elif "startAtOperationTime" in options:
            time = options["startAtOperationTime"]
            later = (entry.index for entry in oplog if entry.time >= (time.time, time.inc))
            self._next = next(later, len(oplog))
        else:
            self._next = len(oplog)
        self._is_open = True
        return Reply(Batch([], self._encoded), 0, self._token(self._next - 1), True)

    def more(self, batch_size: int) -> Reply:
        self._process.check()
        assert self._is_open
        draw, scheduler = self._world.draw, self._world.scheduler
        oplog = self._world.source.oplog
        until = scheduler.now + 1.0
        while self._next >= len(oplog) and scheduler.now < until:
            scheduler.sleep(0.05 + 0.2 * draw.random())
        self._answer()
        if self._at_boundary() and self._world.happens("source.ended", 0.02):
            self._is_open = False
            return self._invalidated()
        size = min(batch_size, draw.choice((1, 3, 10, 50)))
        changes: list[Mapping[str, Any]] = []
        while self._next < len(oplog) and len(changes) < size:
            entry = oplog[self._next]
            change = self._shown(entry)
            if change is not None:
                if self._is_oversized(change):
                    if changes:
                        break
                    self._is_open = False
                    raise OperationFailure("BSONObj size: 17000000 is invalid", 10334)
                changes.append(change)
            self._next += 1
        return Reply(Batch(changes, self._encoded), 100 * len(changes), self._token(self._next - 1), True)

    def close(self) -> None:
        self._is_open = False

    def _answer(self) -> None:
        self._process.check()
        self._world.crash_point(self._process, "reading the stream")
        self._world.scheduler.sleep(self._world.latency("source.slow"))
        if self._world.happens("source.fails", 0.05):
            self._is_open = False
            raise AutoReconnect("connection closed")
        if self._world.happens("source.cursor_killed", 0.03):
            self._is_open = False
            raise OperationFailure("cursor killed", self._world.draw.choice((237, 43, 11601)))

    def _at_boundary(self) -> bool:
        """Not inside a transaction: a drop is an entry of its own."""
        oplog, at = self._world.source.oplog, self._next
        return at == 0 or at >= len(oplog) or oplog[at].time != oplog[at - 1].time

    def _invalidated(self) -> Reply:
        entry = {"operationType": "invalidate", "_id": self._token(self._next - 1), "clusterTime": self._clock()}
        return Reply(Batch([entry], self._encoded), 100, None, False)

    def _shown(self, entry: Entry) -> Mapping[str, Any] | None:
        if not entry.is_watched:
            return None
        change: dict[str, Any] = {
            "_id": token_at(entry.index, entry.time),
            "operationType": entry.operation,
            "clusterTime": Timestamp(*entry.time),
            "wallTime": datetime.datetime(2025, 11, 24, 12, 0, 0),
        }
        if entry.operation == "update" and not self._is_slim:
            change["fullDocument"] = self._world.source.current(entry.collection, entry.id)
        elif entry.operation != "delete" and not self._is_slim:
            change["fullDocument"] = entry.document
        return {**change, "ns": {"db": DATABASE, "coll": entry.collection}, "documentKey": {"_id": entry.id}}

    def _encoded(self, change: Mapping[str, Any]) -> Any:
        decoded = self._decode_change(bson.encode(change))
        if isinstance(decoded, RawBSONDocument):
            return decoded
        document = change.get("fullDocument")
        if document and document.get("plant") == "undecodable":
            raise InvalidBSON("'utf-8' codec can't decode byte 0xed")
        return decoded

    def _is_oversized(self, change: Mapping[str, Any]) -> bool:
        document = change.get("fullDocument")
        return bool(document and document.get("plant") == "too_large")

    def _token(self, index: int) -> dict[str, str]:
        time = self._clock()
        return token_at(index, (time.time, time.inc))

    def _clock(self) -> Timestamp:
        """The time of the newest entry that the stream has passed: nothing before it is still to come."""
        oplog = self._world.source.oplog
        return Timestamp(*oplog[self._next - 1].time) if self._next and oplog else Timestamp(_SECONDS, 0)


def decode_planted(raw: bytes) -> dict[str, Any]:
    """`decode_document`, with a document that it cannot read either."""
    change = bson.decode(raw)
    document = change.get("fullDocument", change)
    if document and document.get("plant") == "undecodable":
        raise PoisonEvent("cannot decode a BSON document", code="bson.undecodable")
    return change
