"""Documents of 2 to 15 MB, and some that no record in Kafka can carry; one of them now and then.

A document of control characters grows six times on its way to JSON: with less than MongoDB's 16 MB it is larger than
`kafka.create_topics.max_message_size`. Its insert must be found among the dead letters; soon afterwards the document
is replaced by a small one, which must arrive as a row as always.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.errors import DuplicateKeyError, PyMongoError

LARGE, OVERSIZED = "large", "oversized"
_FIRST, _EVERY = 4.0, 20.0
_KEPT = 2
"""Large documents that are not deleted yet."""
_CONTROL_CHARACTERS = 4_500_000
"""27 MB of JSON."""
_SETTLE_WITHIN = 60.0


class Rare:
    """One thread, from `start` to `finish`; the kinds and sizes come from the seed."""

    def __init__(self, uri: str, database: str, seed: int) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            uri, serverSelectionTimeoutMS=5000, socketTimeoutMS=20_000
        )
        self._database: Any = self._client.get_database(database, write_concern=WriteConcern("majority"))
        self._rng = random.Random(f"rare/{seed}")
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._unsettled: set[str] = set()
        self.oversized: set[str] = set()
        """The `_id`s whose insert was acknowledged though no record can carry it."""
        self._large: list[str] = []
        self._number = 0
        self.acknowledged = self.unknown = self.large = 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="rare-writer")

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Ends the thread and settles; raises what it raised."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(60)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        try:
            self.finish()
        finally:
            self._client.close()

    def settle(self) -> None:
        """Returns when no document is larger than Kafka allows; AssertionError when MongoDB does not let us."""
        with self._writing:
            end = time.monotonic() + _SETTLE_WITHIN
            while self._unsettled:
                assert time.monotonic() < end, f"MongoDB takes no writes: {self._unsettled}"
                for id_ in sorted(self._unsettled):
                    self._shrink(id_)

    def _run(self) -> None:
        pause = _FIRST
        try:
            while not self._stop.wait(pause):
                with self._writing:
                    self._step()
                pause = _EVERY
        except BaseException as error:
            self.error = error

    def _step(self) -> None:
        self._number += 1
        dice, size = self._rng.random(), self._rng.randint(2_000_000, 15_000_000)
        if dice < 0.3:
            self._oversized(f"oversized {self._number}")
        else:
            self._large_one(f"large {self._number}", size)

    def _oversized(self, id_: str) -> None:
        self._unsettled.add(id_)
        text = "\x01" * _CONTROL_CHARACTERS
        if self._once(lambda: self._database[OVERSIZED].insert_one({"_id": id_, "text": text})):
            self.oversized.add(id_)
        self._stop.wait(1.0)
        self._shrink(id_)

    def _shrink(self, id_: str) -> None:
        """An upsert, so that an insert of unknown outcome cannot come later."""
        if self._once(lambda: self._database[OVERSIZED].replace_one({"_id": id_}, {"text": "small"}, upsert=True)):
            self._unsettled.discard(id_)

    def _large_one(self, id_: str, size: int) -> None:
        """Inserted, changed (so that it is looked up), and deleted a while later."""
        large = self._database[LARGE]
        line = "".join(self._rng.choice("abcdefgh äé") for _ in range(999)) + "\n"
        text = line * (size // len(line.encode()))
        if self._once(lambda: large.insert_one({"_id": id_, "text": text, "n": 0})):
            self.large += 1
        self._large.append(id_)
        self._stop.wait(0.5)
        self._once(lambda: large.update_one({"_id": id_}, {"$inc": {"n": 1}}))
        if len(self._large) > _KEPT:
            self._once(lambda: large.delete_one({"_id": self._large[0]}))
            del self._large[0]

    def _once(self, work: Callable[[], Any]) -> bool:
        """One write, whose outcome may stay unknown; whether it was acknowledged."""
        try:
            work()
        except DuplicateKeyError:
            pass  # the driver's own retry found its first attempt done
        except PyMongoError:
            self.unknown += 1
            time.sleep(0.2)
            return False
        self.acknowledged += 1
        return True
