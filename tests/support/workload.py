"""Writers that change documents in every way, acknowledged by the majority, again and again until it is.

Every write that was acknowledged is in MongoDB; one whose outcome is unknown is made again. Which documents
exist in the end is known from MongoDB itself, so that no bookkeeping of ours can hide a loss.
"""

from __future__ import annotations

import datetime
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.code import Code
from pymongo import DeleteOne, InsertOne, MongoClient, ReplaceOne, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError

COLLECTIONS = ("players", "inventories", "matches")
HOT = "hot"
_BATCH = 40
_DUPLICATE = 11000
_DAY = datetime.datetime(2026, 11, 23, 12, 0, 1, 234_000)

ODD: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1e308, 0.1, 2**31, Int64(2**63 - 1), Int64(-(2**63)),
    Decimal128("NaN"), Decimal128("1E+6000"), Decimal128("0.10"), Decimal128("-0"), True, False, None,
    "", "a\0b", "\\u0000", '"', "\u2028", "😀", "{\"$oid\":\"65a5f1c2e4b0a1b2c3d4e5f6\"}", "ä" * 300,
    b"", b"\x00\xff", Binary(b"x" * 16, 4), Binary(b"y" * 16, 3), Binary(b"z", 128),
    ObjectId("65a5f1c2e4b0a1b2c3d4e5f6"), datetime.datetime(1, 1, 1),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999_000), _DAY,
    Timestamp(1, 2), Timestamp(2**32 - 1, 2**32 - 1), Regex("^a.*b$"), Code("return 1"), MinKey(), MaxKey(),
    {}, [], [[], {}, [None]], {"$oid": "no id"}, {"$date": {"$numberLong": "x"}}, {"a.b": 1, "": 2, "__proto__": 3},
    {"$escaped": {"$escaped": 1}}, {"_id": {"_id": 1}},
)  # fmt: skip
"""Values with a history of getting lost or changed on the way to JSON."""


class Workload:
    """`writers` threads insert `documents` documents and change and delete them; `allow` sets the pace."""

    def __init__(self, uri: str, database: str, documents: int, seed: int, writers: int = 4) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, retryWrites=True)
        self._database = self._client.get_database(database, write_concern=WriteConcern("majority", wtimeout=20_000))
        self._writers = [
            _Writer(self._client, self._database, documents // writers, number, random.Random(f"{seed}/{number}"))
            for number in range(writers)
        ]
        self.documents = documents // writers * writers
        self._allowed = 0.0
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(w,), name="writer") for w in self._writers]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def allow(self, share: float) -> None:
        """Writers go on until that share (0 to 1) of all documents is inserted, and wait then."""
        self._allowed = share

    def wait(self, share: float, timeout: float = 120.0) -> None:
        """Allow that share, and block until it is written; raises what a writer raised."""
        self.allow(share)
        end = time.monotonic() + timeout
        while not all(writer.share >= share or writer.is_done for writer in self._writers):
            self._check()
            assert time.monotonic() < end, "the writers are stuck"
            time.sleep(0.02)

    def finish(self, timeout: float = 300.0) -> None:
        """Let the writers do the rest; raises what a writer raised."""
        self.allow(2.0)
        for thread in self._threads:
            thread.join(timeout)
        self._check()

    def close(self) -> None:
        for writer in self._writers:
            writer.is_done = True
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(30)
        self._client.close()

    def _run(self, writer: _Writer) -> None:
        try:
            for _ in writer.batches():
                while writer.share >= self._allowed and not writer.is_done:
                    time.sleep(0.01)
        except BaseException as error:
            self._errors.append(error)
        finally:
            writer.is_done = True

    def _check(self) -> None:
        if self._errors:
            raise self._errors[0]


class _Writer:
    """One thread's documents: nobody else touches them, except those of the collection `hot`."""

    def __init__(
        self, client: MongoClient[dict[str, Any]], database: Any, documents: int, number: int, rng: random.Random
    ) -> None:
        self._client = client
        self._database = database
        self._documents = documents
        self._number = number
        self._rng = rng
        self._inserted = 0
        self._alive: dict[str, list[Any]] = {name: [] for name in COLLECTIONS}
        self._dead: dict[str, list[Any]] = {name: [] for name in COLLECTIONS}
        self.is_done = False

    @property
    def share(self) -> float:
        return self._inserted / self._documents

    def batches(self) -> Iterator[None]:
        """Does the work, a batch at each step."""
        while self._inserted < self._documents and not self.is_done:
            name = self._rng.choice(COLLECTIONS)
            dice = self._rng.random()
            if dice < 0.08:
                self._until_done(self._transaction)
            elif dice < 0.2:
                self._heat()
            else:
                self._bulk(name)
            yield

    def _bulk(self, name: str) -> None:
        operations = [self._operation(name) for _ in range(self._rng.randint(1, _BATCH))]
        self._write(name, operations)

    def _operation(self, name: str) -> Any:
        rng, alive, dead = self._rng, self._alive[name], self._dead[name]
        dice = rng.random()
        if not alive or (dice < 0.35 and self._inserted < self._documents):
            self._inserted += 1
            alive.append(self._new_id())
            return InsertOne(self._document(alive[-1]))
        if dice < 0.42 and dead:
            alive.append(dead.pop(rng.randrange(len(dead))))
            return InsertOne(self._document(alive[-1]))
        index = rng.randrange(len(alive))
        if dice < 0.55:
            dead.append(alive.pop(index))
            return DeleteOne({"_id": dead[-1]})
        if dice < 0.7:
            return ReplaceOne({"_id": alive[index]}, self._document(alive[index]))
        change = {"$inc": {"n": 1}, "$set": {"profile.level": rng.randint(1, 99), "odd": rng.choice(ODD)}}
        if rng.random() < 0.3:
            change["$push"] = {"items": {"$each": [rng.randint(0, 9)], "$slice": -5}}
        return UpdateOne({"_id": alive[index]}, change)

    def _new_id(self) -> Any:
        number = self._number * 10_000_000 + self._inserted
        kind = self._rng.random()
        if kind < 0.5:
            return ObjectId()
        if kind < 0.7:
            return f"ä player {number}"
        if kind < 0.85:
            return number
        others: list[Callable[[], Any]] = [
            lambda: Binary(uuid.UUID(int=self._rng.getrandbits(128)).bytes, 4),
            lambda: _DAY + datetime.timedelta(seconds=number),
            lambda: b"\0" + number.to_bytes(6),
            lambda: {"season": number, "name": "x"},
            lambda: str(ObjectId()),
        ]
        return self._rng.choice(others)()

    def _document(self, id_: Any) -> dict[str, Any]:
        rng = self._rng
        document: dict[str, Any] = {
            "_id": id_,
            "name": f"player {rng.random()}",
            "profile": {"level": rng.randint(1, 99), "rating": rng.random() * 3000, "seen": _DAY},
            "items": [rng.randint(0, 9) for _ in range(rng.randint(0, 5))],
            "text": "x" * rng.randint(0, 300),
            "n": Int64(0),
        }
        if rng.random() < 0.2:
            document["odd"] = rng.choice(ODD)
        if rng.random() < 0.01:
            document["long"] = "y" * 50_000
        return document

    def _heat(self) -> None:
        """A few documents that all writers change, delete and make again."""
        rng = self._rng
        for _ in range(rng.randint(1, 5)):
            wanted = {"_id": rng.randrange(20)}
            change = rng.choice([DeleteOne(wanted), UpdateOne(wanted, {"$inc": {"n": 1}}, upsert=True)])
            self._write(HOT, [change])

    def _transaction(self) -> None:
        """Several changes of one document, and of others, at one cluster time."""
        key = f"tx {self._number} {self._rng.randrange(30)}"
        steps = self._rng.randint(1, 4)

        def work(session: Any) -> None:
            players, matches = self._database["players"], self._database["matches"]
            for step in range(steps):
                update = {"$inc": {"n": 1}, "$set": {"step": step}}
                players.update_one({"_id": key}, update, upsert=True, session=session)
            if steps == 4:
                players.delete_one({"_id": key}, session=session)
            matches.update_one({"_id": key}, {"$inc": {"n": 1}}, upsert=True, session=session)

        with self._client.start_session() as session:
            session.with_transaction(work, write_concern=WriteConcern("majority"))

    def _write(self, name: str, operations: list[Any]) -> None:
        left = operations
        while left and not self.is_done:
            try:
                self._database[name].bulk_write(left, ordered=True)
                return
            except BulkWriteError as error:
                failed = error.details["writeErrors"]
                if not failed or failed[0]["code"] != _DUPLICATE:
                    raise
                left = left[failed[0]["index"] + 1 :]
            except PyMongoError:
                time.sleep(0.1)

    def _until_done(self, work: Callable[[], None]) -> None:
        while not self.is_done:
            try:
                work()
                return
            except PyMongoError:
                time.sleep(0.1)
