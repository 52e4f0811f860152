"""Writers that never wait for anybody: what they write is acknowledged by the majority, or its outcome is unknown.

The documents, ids and odd values are those of tests/support/workload.py; here the pace is set by the clock, a write
that failed is not repeated, and each acknowledged write of the collection `ledger` is remembered: that collection is
only inserted into, so what is missing from its table at the end was lost, whatever MongoDB says then (I2).
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError

from tests.faults.longrun.rare import LARGE, OVERSIZED
from tests.support.workload import COLLECTIONS, HOT, _Writer

LEDGER, PROBES = "ledger", "probes"
COMPARED = (*COLLECTIONS, HOT, LEDGER, PROBES, LARGE, OVERSIZED)
"""What must be equal in the end."""
_ENDLESS = 10**9
_DUPLICATE = 11000


class Writers:
    """`count` threads, together about `rate` operations a second, until `finish`."""

    def __init__(self, uri: str, database: str, seed: int, rate: float, count: int = 3) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            uri, serverSelectionTimeoutMS=5000, socketTimeoutMS=10_000
        )
        self.database: Any = self._client.get_database(
            database, write_concern=WriteConcern("majority", wtimeout=10_000)
        )
        self._running = threading.Event()
        self._running.set()
        self._writers = [
            Writer(self._client, self.database, number, random.Random(f"{seed}/{number}"), rate / count, self._running)
            for number in range(count)
        ]
        self._threads = [threading.Thread(target=w.work, name=f"writer-{w.number}") for w in self._writers]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def acknowledged(self) -> int:
        return sum(writer.acknowledged for writer in self._writers)

    @property
    def unknown(self) -> int:
        return sum(writer.unknown for writer in self._writers)

    @property
    def ledger(self) -> set[str]:
        """The `_id`s whose insert was acknowledged."""
        return {id_ for writer in self._writers for id_ in writer.ledger}

    def pause(self) -> None:
        """Returns when no write is under way."""
        self._running.clear()
        for writer in self._writers:
            with writer.writing:
                pass

    def go_on(self) -> None:
        self._running.set()

    def finish(self) -> None:
        """Ends the threads; raises what one of them raised."""
        for writer in self._writers:
            writer.is_done = True
        self._running.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(60)
        errors = [writer.error for writer in self._writers if writer.error is not None]
        if errors:
            raise errors[0]

    def close(self) -> None:
        try:
            self.finish()
        finally:
            self._client.close()


class Writer(_Writer):
    """One thread's documents, written once each, whatever comes of it."""

    def __init__(
        self, client: Any, database: Any, number: int, rng: random.Random, rate: float, running: threading.Event
    ) -> None:
        super().__init__(client, database, _ENDLESS, number, rng)
        self.number = number
        self.acknowledged = self.unknown = 0
        self.ledger: list[str] = []
        self.error: BaseException | None = None
        self.writing = threading.Lock()
        self._rate = rate
        self._running = running
        self._serial = 0

    def work(self) -> None:
        """The thread's body."""
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def _work(self) -> None:
        due = time.monotonic()
        steps = self.batches()
        while not self.is_done:
            self._running.wait()
            before = self.acknowledged + self.unknown
            with self.writing:
                next(steps, None)
                self._enter()
            due = max(due, time.monotonic() - 1.0) + (self.acknowledged + self.unknown - before) / self._rate
            time.sleep(max(0.0, due - time.monotonic()))

    def _enter(self) -> None:
        self._serial += 1
        id_ = f"w{self.number}-{self._serial}"
        before = self.acknowledged
        self._once(1, lambda: self._database[LEDGER].insert_one({"_id": id_, "writer": self.number}))
        if self.acknowledged > before:
            self.ledger.append(id_)

    def _write(self, name: str, operations: list[Any]) -> None:
        left = operations
        while left:
            try:
                self._database[name].bulk_write(left, ordered=True)
                self.acknowledged += len(left)
                return
            except BulkWriteError as error:
                failed = error.details["writeErrors"]
                if not failed or failed[0]["code"] != _DUPLICATE or error.details["writeConcernErrors"]:
                    self.unknown += len(left)
                    return
                done = failed[0]["index"]
                self.acknowledged += done
                left = left[done + 1 :]
            except PyMongoError:
                self.unknown += len(left)
                time.sleep(0.1)
                return

    def _until_done(self, work: Any) -> None:
        self._once(1, work)

    def _once(self, count: int, work: Any) -> None:
        try:
            work()
            self.acknowledged += count
        except PyMongoError:
            self.unknown += count
            time.sleep(0.1)
