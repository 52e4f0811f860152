"""Which dead letters still wait: those that were not settled.

What was settled, how and why, is kept letter by letter beside the rows in PostgreSQL, so that a restored database
has both as of one moment: what was replayed after the backup waits again. A letter is known by its place and its
timestamp, so that a topic that was deleted and made anew begins without a past. The group's offsets in Kafka follow
for those who look from outside: they stand before the first letter that waits, so that a monitor shows the backlog
as their lag. Nothing is decided by them, as Kafka forgets a group without members after some days.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from cdc_cli.consume import Partition, RawRecord
from cdc_cli.consume.letters import Letter
from cdc_cli.consume.ranges import Bounds


class How(StrEnum):
    """What became of a letter. `REPLAYED`: applied, or buried again as a new letter. `REFUSED`: passed over by a
    replay, because it was replayed too often. `DISCARDED`: an operator does not want it any more."""

    REPLAYED = "replayed"
    REFUSED = "refused"
    DISCARDED = "discarded"


class Place(NamedTuple):
    """A record of the dead-letter topic; `timestamp` is Kafka's, epoch milliseconds."""

    partition: Partition
    offset: int
    timestamp: int


class Settled(NamedTuple):
    """`at` is epoch seconds."""

    how: How
    reason: str
    at: float


class LetterMemory(Protocol):
    """The settled letters, and the right of one process to settle them. Methods block.

    They raise Retryable, Denied, ConfigError, and those that need the right TryLater when another process has it.
    """

    def hold(self) -> bool:
        """Take the right, or make sure of it: whoever holds it is told. The server ends it with the process.

        True when it was taken since the last call, for the first time or again: what was loaded before may be old.
        """
        ...

    def load(self, ranges: Mapping[Partition, Bounds]) -> Mapping[Place, Settled]:
        """What was settled in these stretches; needs no right and makes nothing."""
        ...

    def settle(self, letters: Mapping[Place, How], reason: str = "") -> None:
        """From now on these are settled; what was before, stays as it was. Needs the right."""
        ...

    def forget(self, kept: Mapping[Partition, int]) -> None:
        """Forget letters before these offsets, the first that Kafka still keeps. Needs the right."""
        ...


class Backlog(NamedTuple):
    """What was settled when a command began."""

    settled: Mapping[Place, Settled]

    def fate(self, letter: Letter) -> Settled | None:
        """What became of it; None = it waits."""
        return self.settled.get(place_of(letter.partition, letter.record))

    def waits(self, letter: Letter) -> bool:
        return self.fate(letter) is None


class Wanted(NamedTuple):
    """Which letters are meant; None = whatever it is. `since`: failed last at or after then (epoch seconds).
    `places`: half-open stretches of offsets, to the end where the second one is None."""

    codes: Collection[str] | None = None
    since: float | None = None
    places: Mapping[Partition, tuple[int, int | None]] | None = None

    def takes(self, letter: Letter) -> bool:
        if self.codes is not None and letter.code not in self.codes:
            return False
        if self.since is not None and failed_at(letter) < self.since:
            return False
        if self.places is None:
            return True
        first, end = self.places.get(letter.partition, (0, 0))
        offset = letter.record.offset
        return first <= offset and (end is None or offset < end)


def place_of(partition: Partition, record: RawRecord) -> Place:
    return Place(partition, record.offset, record.timestamp)


def failed_at(letter: Letter) -> float:
    """When it failed last, epoch seconds; else Kafka's timestamp."""
    return letter.last_failed_at if letter.last_failed_at is not None else letter.record.timestamp / 1000


def behind(ranges: Mapping[Partition, Bounds], waiting: Sequence[Place]) -> dict[Partition, int]:
    """How far the group's offsets may move: to the first letter that waits, else to the end of each stretch."""
    found = {partition: bounds.end for partition, bounds in ranges.items()}
    for place in waiting:
        found[place.partition] = min(found[place.partition], place.offset)
    return found
