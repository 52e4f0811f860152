"""The oplog as a runway: how long until a stored position falls off its end.

The oplog is a ring of a fixed size. What stands before the position in it, and what is still free, is what
may be written until the position is overwritten; divided by the rate of writing, that is a time.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from bson import Timestamp
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from cdc_cli.capture.errors import translate

_SAMPLE = 1000
_COUNT_MS = 3000


class Oplog(NamedTuple):
    """First and last entry as cluster times, bytes held and allowed, and the server's clock (epoch seconds).

    `recent_rate` is that of the newest thousand entries until now, in bytes a second; `min_retention` seconds
    are kept even beyond `max_size`.
    """

    first: tuple[int, int]
    last: tuple[int, int]
    size: int
    max_size: int
    now: float
    recent_rate: float
    min_retention: float = 0.0

    @property
    def window(self) -> float:
        """Seconds between the first and the last entry, at least one."""
        return float(max(1, self.last[0] - self.first[0]))

    def holds(self, place: tuple[int, int]) -> bool:
        """Whether a stream can still start at that time."""
        return place >= self.first

    def runway(self, place: tuple[int, int], rate: float | None = None) -> float:
        """Seconds until `place` is overwritten, 0 when it is gone already.

        `rate` in bytes a second, None = the average over the whole oplog. Takes the bytes as spread evenly
        over the window, which is exact enough to be warned in time.
        """
        if not self.holds(place):
            return 0.0
        before = self.size * min(1.0, (place[0] - self.first[0]) / self.window)
        free = max(0, self.max_size - self.size)
        average = self.size / self.window
        left = (free + before) / max(1e-3, average if rate is None else rate)
        return max(left, place[0] + self.min_retention - self.now, 0.0)


def read_oplog(client: MongoClient[Any]) -> Oplog | None:
    """What the server says about its oplog, None on a sharded cluster, where each shard has its own.

    Needs the right to read the database `local`. Blocks for network time; raises Retryable, Denied.
    """
    try:
        hello = client.admin.command("hello")
        if hello.get("msg") == "isdbgrid" or "setName" not in hello:
            return None
        return _read(client, hello["localTime"].replace(tzinfo=datetime.UTC).timestamp())
    except PyMongoError as exc:
        raise translate("reading the oplog (needs the role `read` on the database `local`)", exc) from exc


def count_entries(
    client: MongoClient[Any], since: tuple[int, int], until: tuple[int, int] | None = None
) -> int | None:
    """How many changes, of the whole deployment, stand in the oplog between; None when it takes too long."""
    span: dict[str, Any] = {"$gte": Timestamp(*since)}
    if until is not None:
        span["$lt"] = Timestamp(*until)
    try:
        oplog = client["local"]["oplog.rs"]
        return oplog.count_documents({"ts": span, "op": {"$ne": "n"}}, maxTimeMS=_COUNT_MS)
    except PyMongoError:
        return None


def _read(client: MongoClient[Any], now: float) -> Oplog | None:
    oplog = client["local"]["oplog.rs"]
    first = oplog.find_one({}, {"ts": 1}, sort=[("$natural", 1)])
    last = oplog.find_one({}, {"ts": 1}, sort=[("$natural", -1)])
    if first is None or last is None:
        return None
    stats = client["local"].command("collStats", "oplog.rs")
    return Oplog(
        first=(first["ts"].time, first["ts"].inc),
        last=(last["ts"].time, last["ts"].inc),
        size=int(stats["size"]),
        max_size=int(stats["maxSize"]),
        now=now,
        recent_rate=_recent_rate(client, now),
        min_retention=_min_retention(client),
    )


def _recent_rate(client: MongoClient[Any], now: float) -> float:
    stages: list[dict[str, Any]] = [
        {"$limit": _SAMPLE},
        {"$group": {"_id": None, "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}, "first": {"$min": "$ts"}}},
    ]
    backwards = client["local"]["oplog.rs"].aggregate(stages, hint={"$natural": -1})
    group = next(iter(backwards), None)
    return float(group["bytes"]) / max(1.0, now - group["first"].time) if group else 0.0


def _min_retention(client: MongoClient[Any]) -> float:
    """`storage.oplogMinRetentionHours`; telling it needs a right that is not worth insisting on."""
    try:
        status = client.admin.command("serverStatus", oplogTruncation=1)
    except OperationFailure:
        return 0.0
    return float(status.get("oplogTruncation", {}).get("oplogMinRetentionHours", 0)) * 3600
