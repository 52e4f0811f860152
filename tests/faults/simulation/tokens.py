"""A token store on a shelf that survives its watchers, and what can happen to a shelf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cdc_cli.checkpoint import HistoryEntry, TokenRecord, Writer
from cdc_cli.checkpoint.record import decode, encode, is_older
from cdc_cli.errors import PositionLost, Retryable, TryLater
from tests.faults.history import Resumed, TokenSaved
from tests.faults.simulation.source import index_of

if TYPE_CHECKING:
    from tests.faults.simulation.scheduler import Process
    from tests.faults.simulation.world import World


class Shelf:
    """Bytes that are durable, and every record that ever was."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.was_saved = False
        self.records: list[bytes] = []
        self.history: list[HistoryEntry] = []
        self.owner: object = None


class SimTokenStore:
    """Implements TokenStore for one watcher."""

    def __init__(self, world: World, process: Process, life: int) -> None:
        self._world = world
        self._process = process
        self._life = life
        self._shelf = world.shelf

    def load(self) -> TokenRecord | None:
        self._process.check()
        self._slowly()
        record = self._stored()
        if record is not None:
            self._world.record(Resumed(self._life, self._world.first_repeated(index_of(record.mark.token))))
        return record

    def save(self, record: TokenRecord) -> None:
        self._process.check()
        world, shelf = self._world, self._shelf
        world.crash_point(self._process, "before saving the token")
        self.renew()
        self._slowly()
        fails = world.happens("token.fails", 0.1)
        if fails and world.draw.random() < 0.5:
            raise Retryable("saving the token: no space left on device", code="token_store.unreachable")
        if not is_older(record, self._stored_if_any()):
            shelf.data, shelf.was_saved = encode(record), True
            shelf.records.append(shelf.data)
            if record.mark.token:
                world.record(TokenSaved(self._life, index_of(record.mark.token)))
        world.crash_point(self._process, "after saving the token")
        if fails:
            raise Retryable("saving the token: timed out", code="token_store.unreachable")

    def clear(self, reason: str) -> None:
        raise NotImplementedError

    def history(self) -> Sequence[HistoryEntry]:
        return self._shelf.history[::-1]

    def remember(self, record: TokenRecord) -> int:
        self._process.check()
        number = len(self._shelf.history) + 1
        self._shelf.history.append(HistoryEntry(number, record))
        return number

    def acquire(self, force: bool = False) -> None:
        self._process.check()
        self._shelf.owner = self

    def renew(self) -> None:
        self._process.check()
        if self._world.happens("token.lease_lost", 0.01):
            self._shelf.owner = None
        if self._shelf.owner is not self:
            raise TryLater("the right to write the token is lost")

    def warnings(self) -> Sequence[str]:
        return ()

    def holder(self) -> Writer | None:
        return None

    def release(self) -> None:
        if self._shelf.owner is self:
            self._shelf.owner = None

    def describe(self) -> str:
        return "a shelf"

    def _slowly(self) -> None:
        self._world.scheduler.sleep(self._world.latency("token.slow") / 4)

    def _stored(self) -> TokenRecord | None:
        if self._shelf.data is not None:
            return decode(self._shelf.data, "the shelf", "cdc token history shows earlier ones")
        if self._shelf.was_saved:
            raise PositionLost("the resume token is gone", "cdc token history", "token.vanished")
        return None

    def _stored_if_any(self) -> TokenRecord | None:
        try:
            return self._stored()
        except PositionLost:
            return None


def vanish(world: World) -> None:
    """Somebody deletes the file, or flushes Redis."""
    world.shelf.data = None


def go_back(world: World) -> None:
    """The store comes back from a failure with an older token."""
    if len(world.shelf.records) > 1:
        world.shelf.records = world.shelf.records[: world.draw.randint(1, len(world.shelf.records))]
        world.shelf.data = world.shelf.records[-1]


def restore(world: World) -> None:
    """`cdc token restore`: the operator takes the newest record of the history, or the first that ever was."""
    history = world.shelf.history
    if history:
        world.shelf.data = encode(replace(history[-1].record, reason="restored"))
    else:
        world.shelf.data = world.shelf.records[0]
