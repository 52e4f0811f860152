"""The threads that play the game on MongoDB, and the count of what MongoDB has acknowledged."""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cdc_cli.clock import Clock
from cdc_cli.demo.scenario import SEASON, Step, Storyline, Turn
from cdc_cli.errors import Fatal
from cdc_cli.events import Operation

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.client_session import ClientSession
    from pymongo.database import Database

_SEED = 7
_ENDLESS = 1 << 62


class Tally:
    """Changes that MongoDB has acknowledged with w: majority. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: Counter[str] = Counter()
        self._transactions = 0

    def add(self, operations: Iterable[Operation], is_transaction: bool = False) -> None:
        """Count changes that were acknowledged together."""
        with self._lock:
            self._operations.update(operation.value for operation in operations)
            self._transactions += is_transaction

    @property
    def total(self) -> int:
        with self._lock:
            return self._operations.total()

    @property
    def transactions(self) -> int:
        with self._lock:
            return self._transactions

    def by_operation(self) -> Mapping[str, int]:
        with self._lock:
            return {operation.value: self._operations[operation.value] for operation in Operation}


class Writers:
    """Several threads, each with a storyline and a client session of its own.

    `changes` is how many changes they make altogether; None means until `end` is called.
    """

    def __init__(
        self, client: MongoClient[dict[str, Any]], database: str, tally: Tally, changes: int | None, threads: int,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._client = client
        self._database: Database[dict[str, Any]] = client[database]
        self._tally = tally
        self._ended = threading.Event()
        self._error: BaseException | None = None

        def now() -> datetime.datetime:
            exact = datetime.datetime.fromtimestamp(clock.time(), datetime.UTC).replace(tzinfo=None)
            return exact.replace(microsecond=exact.microsecond // 1000 * 1000)

        quotas = [_ENDLESS] * threads if changes is None else shares(changes - 1, threads)
        self._threads = [
            threading.Thread(target=self._guard, args=(Storyline(n, _SEED, now), quota), name=f"demo-writer-{n}")
            for n, quota in enumerate(quotas)
        ]

    def start(self) -> None:
        """Write the shared document, which is the first change, and start the threads."""
        self._database["matches"].insert_one(dict(SEASON))
        self._tally.add([Operation.INSERT])
        for thread in self._threads:
            thread.start()

    @property
    def are_done(self) -> bool:
        """Whether every thread has ended. Raises the first error of any of them."""
        if self._error is not None:
            raise self._error
        return not any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        """Let every thread finish its turn, and wait for that. Harmless when they have ended or never started."""
        self._ended.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _guard(self, story: Storyline, quota: int) -> None:
        try:
            self._play(story, quota)
        except BaseException as error:
            self._error = self._error or error

    def _play(self, story: Storyline, quota: int) -> None:
        with self._client.start_session() as session:
            while quota > 0 and not self._ended.is_set():
                turn = story.turn(quota)
                self._carry_out(turn, session)
                self._tally.add([step.operation for step in turn.steps], turn.is_atomic)
                quota -= len(turn.steps)

    def _carry_out(self, turn: Turn, session: ClientSession) -> None:
        if turn.is_atomic:
            changed = session.with_transaction(lambda s: sum(self._write([step], s) for step in turn.steps))
        else:
            changed = self._write(turn.steps, session)
        if changed != len(turn.steps):
            raise Fatal(f"the game made {changed} changes with {len(turn.steps)} steps", "this is a bug in cdc demo")

    def _write(self, steps: Collection[Step], session: ClientSession) -> int:
        """Steps on one collection; how many documents they changed."""
        collection = self._database[next(iter(steps)).collection]
        result = collection.bulk_write([step.request for step in steps], ordered=True, session=session)
        return result.inserted_count + result.modified_count + result.deleted_count


def shares(total: int, parts: int) -> list[int]:
    """`total` in `parts` numbers that differ by one at most."""
    return [total // parts + (part < total % parts) for part in range(parts)]


