"""Where a stream starts that has no token: now, at the oldest entry of the oplog, or at a time (`start_from`)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from pymongo import MongoClient

from cdc_cli.capture.errors import translate
from cdc_cli.checkpoint.record import decode_cluster_time
from cdc_cli.errors import ConfigError


class Start:
    """`watcher.start_from` as a cluster time."""

    def __init__(self, start_from: str) -> None:
        self._start_from = start_from

    def cluster_time(self, client: MongoClient[Any]) -> tuple[int, int] | None:
        """(seconds, increment) to start at, inclusive; None = now. Reads the oplog for `oldest`."""
        if self._start_from == "now":
            return None
        if self._start_from == "oldest":
            return oldest(client)
        try:
            moment = datetime.datetime.fromisoformat(self._start_from)
        except ValueError as exc:
            raise ConfigError(
                f"watcher.start_from: {self._start_from!r} is no ISO-8601 time", "use now, oldest or a time"
            ) from exc
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return int(moment.timestamp()), 1

    @staticmethod
    def time_of(token: Mapping[str, Any]) -> tuple[int, int] | None:
        """The cluster time inside a post-batch token, as far as it can be read."""
        return decode_cluster_time(token)


def oldest(client: MongoClient[Any]) -> tuple[int, int]:
    """The cluster time of the first entry in the oplog."""
    try:
        entry = client["local"]["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", 1)])
    except Exception as exc:
        raise translate("reading the oplog (needs the role `read` on the database `local`)", exc) from exc
    if entry is None:
        raise ConfigError("MongoDB has no oplog", "change streams need a replica set", "mongodb.not_replicated")
    return entry["ts"].time, entry["ts"].inc
