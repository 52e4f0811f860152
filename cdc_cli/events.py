"""The words that everything else uses: Operation, Position, ResumeToken, ChangeEvent.

Pure data: no driver, no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Operation(StrEnum):
    """What happened to the document. Anything else in a change stream (drop, rename, ...) is not an event."""

    INSERT = "insert"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


class Position(NamedTuple):
    """The place of an event in MongoDB's history: (clusterTime seconds, clusterTime increment, ordinal).

    `ordinal` tells events with the same clusterTime apart, in stream order from 0, because all events of a
    transaction share one clusterTime; it has gaps where the stream leaves events of the transaction out. Tuples
    compare in stream order; so does `text`, which is what travels to Kafka and into PostgreSQL (`cdc_position`).
    Both 32-bit fields are unsigned: good beyond 2038.
    """

    seconds: int
    increment: int
    ordinal: int

    @property
    def text(self) -> str:
        """Fixed-width decimal, `1764046833.0000000002.0000000000`: compares as bytes in stream order."""
        return f"{self[0]:010d}.{self[1]:010d}.{self[2]:010d}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The inverse of `text`; raises ValueError on anything else."""
        seconds, increment, ordinal = text.split(".")
        if not (len(seconds) == len(increment) == len(ordinal) == 10):
            raise ValueError(f"not a position: {text!r}")
        return cls(int(seconds), int(increment), int(ordinal))

    def next_ordinal(self, seconds: int, increment: int) -> Position:
        """The position of the event that follows this one in the stream and has that clusterTime."""
        if seconds == self.seconds and increment == self.increment:
            return Position(seconds, increment, self.ordinal + 1)
        return Position(seconds, increment, 0)


ResumeToken = Mapping[str, Any]
"""The server's opaque token document (`{"_data": ...}`). Never parsed to decide anything, only to show a time."""


class Mark(NamedTuple):
    """A place from which the change stream can be resumed without missing anything before or after it.

    `position` is that of the last event at or before the token, None when the stream never had one;
    `cluster_time` (seconds, increment) is the fallback for `start_at_operation_time`, inclusive.
    A mark is either an event's own token or a post-batch token (`is_event` tells), and both resume with
    `start_after`.
    """

    token: ResumeToken
    position: Position | None
    cluster_time: tuple[int, int] | None
    is_event: bool


class ChangeEvent(NamedTuple):
    """One change as captured. `id` is the document's `_id` as decoded BSON; documents are decoded BSON too.

    `document` is None for a delete, and for an update whose document was gone at look-up (`missing`).
    `wall_ms` is the commit time in milliseconds since the epoch, UTC.
    """

    operation: Operation
    database: str
    collection: str
    id: Any
    position: Position
    wall_ms: int
    document: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    update: Mapping[str, Any] | None = None
    missing: bool = False

    @property
    def namespace(self) -> str:
        """`database.collection`; a database name cannot hold a dot, so the first dot divides."""
        return f"{self.database}.{self.collection}"
