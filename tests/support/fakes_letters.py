"""The memory of settled dead letters without a server, with the same promises as the one in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import How, Place, Settled
from cdc_cli.consume.ranges import Bounds
from cdc_cli.errors import CdcError


class FakeLetterMemory:
    """Implements LetterMemory. `failures` are raised by the next calls that need the right; with `is_new` it was
    lost and taken again."""

    def __init__(self) -> None:
        self.letters: dict[Place, Settled] = {}
        self.failures: list[CdcError] = []
        self.is_new = False

    def hold(self) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        is_new, self.is_new = self.is_new, False
        return is_new

    def load(self, ranges: Mapping[Partition, Bounds]) -> Mapping[Place, Settled]:
        return {
            place: settled
            for place, settled in self.letters.items()
            if place.partition in ranges and ranges[place.partition].first <= place.offset < ranges[place.partition].end
        }

    def settle(self, letters: Mapping[Place, How], reason: str = "") -> None:
        if self.failures:
            raise self.failures.pop(0)
        for place, how in letters.items():
            self.letters.setdefault(place, Settled(how, reason, 0.0))

    def forget(self, kept: Mapping[Partition, int]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.letters = {p: s for p, s in self.letters.items() if p.offset >= kept.get(p.partition, 0)}
