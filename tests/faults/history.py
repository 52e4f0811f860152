"""What happened in a run, in the order it happened: the only thing the invariant checkers look at.

A history is a sequence of these records. Whoever records one (the simulation, a test on real servers) writes down
what became durable or was answered, never what the product believes. `index` is the place of a change in MongoDB's
stream; `position` is the text that the change must have; `document` names a document (collection and `_id`, told
apart by type); `state` is its content as text, None = deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Place = tuple[str, int]
"""Topic and partition."""


class Changed(NamedTuple):
    """MongoDB acknowledged this change with w: majority. `planted`: it holds something that nobody can write."""

    index: int
    document: str
    position: str
    state: str | None
    planted: bool = False


class Resumed(NamedTuple):
    """The watcher `life` started; the durable token then stood after the change `index` (-1 = before all)."""

    life: int
    index: int


class Appended(NamedTuple):
    """A record stands in Kafka. `position` and `document` are None where it is no change of ours (planted junk)."""

    life: int
    place: Place
    offset: int
    key: bytes | None
    position: str | None
    document: str | None


class Missing(NamedTuple):
    """The change at `position` went to Kafka without a document: it was deleted before it was looked up."""

    position: str


class Acked(NamedTuple):
    """Kafka told a producer that the change at `position` is kept, as a record or as a dead letter."""

    position: str


class Buried(NamedTuple):
    """Kafka acknowledged a dead letter: of a change at `position`, or of the record at `place` and `offset`."""

    position: str | None
    place: Place | None
    offset: int | None
    code: str


class TokenSaved(NamedTuple):
    """The token store holds a token now that skips every change up to `index`."""

    life: int
    index: int


class Written(NamedTuple):
    """PostgreSQL committed: the row of `document` has this position and state (None = deleted, a tombstone)."""

    document: str
    position: str
    state: str | None


class OffsetStored(NamedTuple):
    """PostgreSQL committed the offset to go on from."""

    place: Place
    offset: int


class OffsetCommitted(NamedTuple):
    """Kafka was told the group's offset."""

    place: Place
    offset: int


class Rewound(NamedTuple):
    """PostgreSQL went back to an older state: rows as (position, state) by document, and offsets, of that time."""

    rows: Mapping[str, tuple[str, str | None]]
    offsets: Mapping[Place, int]


class Counted(NamedTuple):
    """The product's own counters at a moment when nothing moves, of the process `life` of `service`."""

    life: int
    service: str
    counters: Mapping[str, int]


class Unbounded(NamedTuple):
    """Something exceeded its cap (I7): what it was, how much, and the cap."""

    what: str
    amount: int
    cap: int


class Overdue(NamedTuple):
    """Something did not end or did not move on in time (I8)."""

    what: str
    seconds: float


Happening = (
    Changed
    | Resumed
    | Appended
    | Missing
    | Acked
    | Buried
    | TokenSaved
    | Written
    | OffsetStored
    | OffsetCommitted
    | Rewound
    | Counted
    | Unbounded
    | Overdue
)
History = Sequence[Happening]
