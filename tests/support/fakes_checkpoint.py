"""A TokenStore in memory that keeps the whole contract: what tests of the loops run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cdc_cli.checkpoint import HistoryEntry, TokenRecord, Writer
from cdc_cli.checkpoint.record import decode, encode, is_older
from cdc_cli.errors import PositionLost, TryLater


@dataclass
class Shelf:
    """The place that several stores share, as they would share a file: its content and who may write it."""

    data: bytes | None = None
    was_saved: bool = False
    history: list[HistoryEntry] = field(default_factory=list)
    number: int = 0
    owner: object | None = None


class FakeTokenStore:
    """Bytes on a shelf. `saves` counts what was written; `failure`, when set, is raised by the next save."""

    def __init__(self, shelf: Shelf | None = None, history: int = 50, pid: int = 1) -> None:
        self.shelf = shelf or Shelf()
        self.saves = 0
        self.failure: Exception | None = None
        self.me = Writer("fake", pid, "0")
        self._limit = history

    def describe(self) -> str:
        return "memory"

    def load(self) -> TokenRecord | None:
        if self.shelf.data is not None:
            return decode(self.shelf.data, "memory", "cdc token history shows earlier ones")
        if self.shelf.was_saved:
            raise PositionLost("the resume token in memory is gone", "cdc token history", "token.vanished")
        return None

    def save(self, record: TokenRecord) -> None:
        self.renew()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        if not is_older(record, self._stored()):
            self.shelf.data, self.shelf.was_saved = encode(record), True
            self.saves += 1

    def clear(self, reason: str) -> None:
        self.renew()
        if (stored := self._stored()) is not None:
            self.remember(replace(stored, reason=reason or "cleared"))
        self.shelf.data, self.shelf.was_saved = None, False

    def history(self) -> Sequence[HistoryEntry]:
        return self.shelf.history[::-1]

    def remember(self, record: TokenRecord) -> int:
        if self._limit == 0:
            return 0
        self.shelf.number += 1
        self.shelf.history = [*self.shelf.history, HistoryEntry(self.shelf.number, record)][-self._limit :]
        return self.shelf.number

    def acquire(self, force: bool = False) -> None:
        if self.shelf.owner not in (None, self) and not force:
            raise TryLater("another watcher is writing this token: fake")
        self.shelf.owner = self

    def renew(self) -> None:
        if self.shelf.owner is not self:
            raise TryLater("the right to write the token is lost or was never taken")

    def warnings(self) -> Sequence[str]:
        return ()

    def holder(self) -> Writer | None:
        owner = self.shelf.owner
        return owner.me if isinstance(owner, FakeTokenStore) else None

    def release(self) -> None:
        if self.shelf.owner is self:
            self.shelf.owner = None

    def _stored(self) -> TokenRecord | None:
        try:
            return self.load()
        except PositionLost:
            return None
