"""A writer and a ledger in memory, with the same promises as those in PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from cdc_cli.apply import Applied, Change, Fenced, Rejected, Version
from cdc_cli.consume import Partition
from cdc_cli.errors import CdcError, PoisonEvent, PositionLost

Key = tuple[str, str, bytes]


@dataclass
class Row:
    document: Any
    position: bytes
    deleted: bool = False


@dataclass
class Memory:
    """What the database would hold; one lock is its only transaction at a time."""

    rows: dict[Key, Row] = field(default_factory=dict)
    tombstones: dict[Key, bytes] = field(default_factory=dict)
    owners: dict[tuple[str, Partition], str] = field(default_factory=dict)
    offsets: dict[tuple[str, Partition], int] = field(default_factory=dict)
    topic_ids: dict[tuple[str, Partition], str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


class FakeLedger:
    """Implements Ledger."""

    def __init__(self, memory: Memory, group_id: str, owner: str) -> None:
        self.memory = memory
        self.group_id = group_id
        self.owner = owner

    def claim(
        self, partitions: Collection[Partition], topic_ids: Mapping[str, str] | None = None
    ) -> Mapping[Partition, int]:
        with self.memory.lock:
            self._compare(partitions, topic_ids or {})
            self.memory.owners.update({(self.group_id, p): self.owner for p in partitions})
            found = {p: self.memory.offsets.get((self.group_id, p)) for p in partitions}
        return {p: offset for p, offset in found.items() if offset is not None}

    def store(self, offsets: Mapping[Partition, int]) -> None:
        with self.memory.lock:
            self.check(offsets)
            self.memory.offsets.update({(self.group_id, p): offset for p, offset in offsets.items()})

    def verify(self, partitions: Collection[Partition]) -> None:
        with self.memory.lock:
            self.check(partitions)

    def _compare(self, partitions: Collection[Partition], ids: Mapping[str, str]) -> None:
        for partition in partitions:
            place, id_ = (self.group_id, partition), ids.get(partition.topic)
            known = self.memory.topic_ids.get(place) if place in self.memory.offsets else None
            if known and id_ and known != id_:
                raise PositionLost(f"{partition.topic} had the id {known} and has {id_}", code="topic.recreated")
        for partition in partitions:
            if partition.topic in ids:
                self.memory.topic_ids[self.group_id, partition] = ids[partition.topic]

    def check(self, partitions: Collection[Partition]) -> None:
        """Raise Fenced unless all are owned."""
        lost = [p for p in partitions if self.memory.owners.get((self.group_id, p)) != self.owner]
        if lost:
            raise Fenced(lost)


class FakeApplier:
    """Implements Applier. `failures` are raised one by one, instead of writing, by the next calls."""

    def __init__(self, ledger: FakeLedger, on_delete: Literal["delete", "soft", "ignore"] = "delete") -> None:
        self.ledger = ledger
        self.memory = ledger.memory
        self.on_delete = on_delete
        self.batches: list[list[Change]] = []
        self.failures: list[CdcError] = []
        self.looks_ahead = False

    def fresh(self, versions: Sequence[Version | None]) -> Sequence[int]:
        with self.memory.lock:
            return [index for index, version in enumerate(versions) if version is None or self._is_fresh(version)]

    def _is_fresh(self, version: Version) -> bool:
        key = (version.table, version.id_type, version.id)
        row = self.memory.rows.get(key)
        return version.position > max(self.memory.tombstones.get(key, b""), row.position if row else b"")

    def apply(self, changes: Sequence[Change], partitions: Collection[Partition], left_out: int = 0) -> Applied:
        with self.memory.lock, self._transaction():
            self.ledger.check(partitions)
            if self.failures:
                raise self.failures.pop(0)
            applied = Applied(stale=left_out)
            groups: dict[Key, list[Change]] = {}
            for change in changes:
                if change.document is None and self.on_delete == "ignore":
                    applied.ignored += 1
                else:
                    groups.setdefault((change.table, change.id_type, change.id), []).append(change)
            for key in sorted(groups):
                self._settle(key, groups[key], applied)
            self.batches.append(list(changes))
            return applied

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        rows, tombstones = dict(self.memory.rows), dict(self.memory.tombstones)
        try:
            yield
        except BaseException:
            self.memory.rows, self.memory.tombstones = rows, tombstones
            raise

    def _settle(self, key: Key, changes: list[Change], applied: Applied) -> None:
        by_position = {change.position: change for change in changes}
        newest_first = [by_position[position] for position in sorted(by_position, reverse=True)]
        used = 0
        for change in newest_first:
            used += 1
            if self._write(key, change, newest_first[used:], applied):
                break
        applied.merged += len(changes) - used

    def _write(self, key: Key, change: Change, older: list[Change], applied: Applied) -> bool:
        if change.document is None:
            last = next((c for c in older if c.document is not None), None)
            if self.on_delete == "soft" and last is not None and self._upsert(key, last, applied):
                applied.merged -= 1
            self._delete(key, change, applied)
            return True
        return self._upsert(key, change, applied)

    def _upsert(self, key: Key, change: Change, applied: Applied) -> bool:
        try:
            document = json.loads(change.document or b"null", parse_constant=_refuse)
        except ValueError:
            applied.rejected.append(Rejected(change, PoisonEvent("not JSON", code="fake.poison")))
            return False
        row = self.memory.rows.get(key)
        known = max(self.memory.tombstones.get(key, b""), row.position if row else b"")
        if change.position <= known:
            applied.stale += 1
            return True
        applied.inserted += row is None
        applied.updated += row is not None
        self.memory.rows[key] = Row(document, change.position)
        return True

    def _delete(self, key: Key, change: Change, applied: Applied) -> None:
        self.memory.tombstones[key] = max(self.memory.tombstones.get(key, b""), change.position)
        row = self.memory.rows.get(key)
        if row is None or row.position >= change.position:
            applied.stale += 1
            return
        applied.deleted += 1
        if self.on_delete == "soft":
            self.memory.rows[key] = Row(row.document, change.position, deleted=True)
        else:
            del self.memory.rows[key]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
