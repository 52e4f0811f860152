"""PostgreSQL as far as the writer's contract goes: transactions, the guard, tombstones, the fence, the ledger.

It merges batches with the product's own `merge`; the guard itself is SQL, and is tested on a real server
(tests/contract/test_applier.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from cdc_cli.apply import Applied, Change, Fenced, Rejected, Version
from cdc_cli.apply.claims import NOTHING, Claim, Claims, Server
from cdc_cli.apply.merge import Key, merge
from cdc_cli.consume import Partition
from cdc_cli.errors import PoisonEvent, Retryable
from tests.faults.history import OffsetStored, Rewound, Written

if TYPE_CHECKING:
    from tests.faults.simulation.scheduler import Process
    from tests.faults.simulation.world import World

_LOCK_TIMEOUT = 3.0


class Database:
    """What is committed: it survives everything but being restored."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rows: dict[Key, tuple[bytes, str | None]] = {}
        self.offsets: dict[Partition, int] = {}
        self.owners: dict[Partition, str] = {}
        self.writing: Counter[Partition] = Counter()
        self.server = Server("0", 0)
        self._dump: tuple[dict[Key, tuple[bytes, str | None]], dict[Partition, int], dict[Partition, str]] | None = None

    def dump(self) -> None:
        """A backup, or what a replica that lags has."""
        self._dump = (dict(self.rows), dict(self.offsets), dict(self.owners))

    def rewind(self) -> bool:
        """Go back to the dump, on another server; whether there was one. What is under way is lost with it."""
        if self._dump is None:
            return False
        self.server = Server(str(int(self.server.started) + 1), 0)
        self.writing = Counter()
        self.rows, self.offsets, self.owners = (dict(part) for part in self._dump)  # type: ignore[assignment]
        rows = {document_name(key): (p.decode(), state) for key, (p, state) in self.rows.items()}
        self._world.record(Rewound(rows, {tuple(p): offset for p, offset in self.offsets.items()}))
        return True

    def write(self, change: Change, applied: Applied) -> None:
        """One row under the guard; a tombstone counts as a row that is as new."""
        key = (change.table, change.id_type, change.id)
        known, state = self.rows.get(key, (b"", None))
        if change.position <= known:
            applied.stale += 1
            return
        if change.document is None:
            applied.deleted += state is not None
            applied.stale += state is None
            new = None
        else:
            applied.inserted += state is None
            applied.updated += state is not None
            new = str(json.loads(change.document)["v"])
        self.rows[key] = (change.position, new)
        self._world.record(Written(document_name(key), change.position.decode(), new))


def document_name(key: Key) -> str:
    """The name that the source uses for the document of this row."""
    table, kind, id_ = key
    return f"{table.split('.', 1)[1]}/{kind}/{id_.decode()}"


class SimApplier:
    """Implements Applier for one process."""

    def __init__(self, world: World, process: Process, owner: str, claims: Claims) -> None:
        self._world = world
        self._process = process
        self._owner = owner
        self._claims = claims

    @property
    def looks_ahead(self) -> bool:
        return self._world.draw.random() < 0.5

    def fresh(self, versions: Sequence[Version | None]) -> Sequence[int]:
        self._process.check()
        self._world.scheduler.sleep(self._world.latency("postgres.slow"))
        connected(self._world)
        return [index for index, version in enumerate(versions) if version is None or self._is_fresh(version)]

    def _is_fresh(self, version: Version) -> bool:
        known, _ = self._world.database.rows.get((version.table, version.id_type, version.id), (b"", None))
        return known < version.position

    def apply(self, changes: Sequence[Change], partitions: Collection[Partition], left_out: int = 0) -> Applied:
        world, database = self._world, self._world.database
        self._process.check()
        wanted = sorted(partitions)
        world.crash_point(self._process, "before a transaction")
        server = connected(world)
        self._claims.check(server, wanted)
        check_owner(world, wanted, self._owner)
        transaction = Transaction(world, self._process, wanted)
        try:
            world.scheduler.sleep(world.latency("postgres.slow"))
            world.crash_point(self._process, "inside a transaction")
            if world.happens("postgres.fails", 0.04):
                raise Retryable("write a batch: deadlock detected", code="postgres.40P01")
            still_connected(world, server)
            applied = self._commit(changes)
        finally:
            transaction.end()
        world.crash_point(self._process, "after a transaction")
        if world.happens("postgres.unknown", 0.08):
            raise Retryable("write a batch: connection lost at COMMIT", code="postgres.connection")
        assert database is world.database
        applied.stale += left_out
        return applied

    def _commit(self, changes: Sequence[Change]) -> Applied:
        merged = merge(changes, "delete")
        applied = Applied(ignored=merged.ignored)
        for table in merged.tables:
            for change in [*table.upserts, *table.deletes]:
                candidate: Change | None = change
                while candidate is not None and b'"plant":"unwritable"' in (candidate.document or b""):
                    applied.rejected.append(Rejected(candidate, PoisonEvent("22P02", code="postgres.22P02")))
                    candidate = merged.next_after(candidate)
                if candidate is not None:
                    self._world.database.write(candidate, applied)
        applied.merged = merged.merged
        return applied


class SimLedger:
    """Implements Ledger for one process."""

    def __init__(self, world: World, process: Process, owner: str, claims: Claims) -> None:
        self._world = world
        self._process = process
        self._owner = owner
        self._claims = claims

    def claim(
        self, partitions: Collection[Partition], topic_ids: Mapping[str, str] | None = None
    ) -> Mapping[Partition, int]:
        world, database = self._world, self._world.database
        self._process.check()
        world.scheduler.sleep(world.latency("postgres.slow", 0.2))
        server = connected(world)
        until = world.scheduler.now + _LOCK_TIMEOUT
        while any(database.writing[partition] for partition in partitions):
            if world.scheduler.now > until:
                raise Retryable("claim partitions: lock timeout", code="postgres.55P03")
            world.scheduler.sleep(0.05)
        still_connected(world, server)
        database.owners.update(dict.fromkeys(partitions, self._owner))
        stored = {p: database.offsets[p] for p in partitions if p in database.offsets}
        self._claims.made({p: Claim(server, 0, stored.get(p, NOTHING)) for p in partitions})
        world.crash_point(self._process, "after a claim", 0.05)
        if world.happens("postgres.unknown", 0.1):
            raise Retryable("claim partitions: connection lost at COMMIT", code="postgres.connection")
        return stored

    def store(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        world, database = self._world, self._world.database
        self._process.check()
        world.crash_point(self._process, "before storing offsets")
        self._check(offsets)
        for partition, offset in sorted(offsets.items()):
            database.offsets[partition] = offset
            world.record(OffsetStored(tuple(partition), offset))
        world.crash_point(self._process, "after storing offsets")
        if world.happens("postgres.unknown", 0.08):
            raise Retryable("store offsets: connection lost at COMMIT", code="postgres.connection")
        self._claims.stored(offsets)

    def verify(self, partitions: Collection[Partition]) -> None:
        self._process.check()
        self._check(partitions)

    def _check(self, partitions: Collection[Partition]) -> None:
        server, claims = connected(self._world), self._claims.of(partitions)
        self._claims.check(server, partitions)
        still_connected(self._world, server)
        check_owner(self._world, sorted(partitions), self._owner)
        for partition, claim in zip(partitions, claims, strict=True):
            if self._world.database.offsets.get(partition, NOTHING) < (claim.offset if claim else NOTHING):
                raise self._claims.void()


class Transaction:
    """Holds the locks of its partitions until it ends; a killed client's are let go by the server."""

    def __init__(self, world: World, process: Process, partitions: Sequence[Partition]) -> None:
        self._writing = world.database.writing
        self._partitions = partitions
        self._writing.update(partitions)
        self._process = process

    def end(self) -> None:
        self._writing.subtract(self._partitions)


def connected(world: World) -> Server:
    """The way there, and an error before anything is done; the server that answered."""
    world.scheduler.sleep(world.latency("postgres.slow"))
    if world.happens("postgres.fails", 0.04):
        raise Retryable("PostgreSQL: connection refused", code="postgres.connection")
    return world.database.server


def still_connected(world: World, server: Server) -> None:
    """A server that is gone took its connections with it."""
    if world.database.server != server:
        raise Retryable("PostgreSQL: server closed the connection", code="postgres.connection")


def check_owner(world: World, partitions: Sequence[Partition], owner: str) -> None:
    lost = [p for p in partitions if world.database.owners.get(p) != owner]
    if lost:
        raise Fenced(lost)
