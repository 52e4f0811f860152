"""What of a batch has to be written: the newest change of each document, grouped by table. Pure.

A statement must not touch a row twice (PostgreSQL refuses with 21000), and need not. What was superseded is
kept until the commit: if PostgreSQL refuses the newest change for its content, the next one takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from cdc_cli.apply import Change

OnDelete = Literal["delete", "soft", "ignore"]
Key = tuple[str, str, bytes]


@dataclass(slots=True)
class TableChanges:
    """The changes of one table, at most one upsert and one delete per document, in no order."""

    table: str
    upserts: list[Change] = field(default_factory=list)
    deletes: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class Merged:
    """A batch after merging. `tables` are in name order: every writer takes its locks in the same order."""

    tables: list[TableChanges]
    losers: dict[Key, list[Change]]
    merged: int
    ignored: int
    stale: int = 0
    """Left out since, because their rows are as new already."""

    @property
    def upserts(self) -> int:
        return sum(len(table.upserts) for table in self.tables)

    @property
    def changes(self) -> int:
        """Upserts and deletes that are left to write."""
        return self.upserts + sum(len(table.deletes) for table in self.tables)

    def next_after(self, refused: Change) -> Change | None:
        """The newest superseded change of the same document; handed out once, no longer merged."""
        losers = self.losers.get(key(refused))
        if not losers:
            return None
        self.merged -= 1
        return losers.pop()


def key(change: Change) -> Key:
    """What tells documents apart."""
    return change.table, change.id_type, change.id


def merge(changes: Iterable[Change], on_delete: OnDelete) -> Merged:
    """The newest change per document by position, whatever order they come in."""
    changes = list(changes)
    return _all_of_one_table(changes) or _merge(changes, on_delete)


def _all_of_one_table(changes: list[Change]) -> Merged | None:
    """What most batches are: documents of one table, each once. None when it is not so, or not so simple."""
    tables = {change.table for change in changes}
    is_simple = (
        len(tables) == 1
        and len({change.id for change in changes}) == len(changes)
        and None not in [change.document for change in changes]
    )
    return Merged([TableChanges(tables.pop(), changes)], {}, 0, 0) if is_simple else None


def _merge(changes: Iterable[Change], on_delete: OnDelete) -> Merged:
    newest: dict[Key, Change] = {}
    rivals: dict[Key, list[Change]] = {}
    total = ignored = 0
    for change in changes:
        total += 1
        if change.document is None and on_delete == "ignore":
            ignored += 1
            continue
        place = key(change)
        first = newest.setdefault(place, change)
        if first is not change:
            rivals.setdefault(place, [first]).append(change)
    tables: dict[str, TableChanges] = {}
    losers = {place: _settle(place, found, newest) for place, found in rivals.items()}
    kept = sum(_add(tables, change, losers, on_delete) for change in newest.values())
    ordered = [tables[name] for name in sorted(tables)]
    return Merged(ordered, losers, total - ignored - kept, ignored)


def _settle(place: Key, found: list[Change], newest: dict[Key, Change]) -> list[Change]:
    """Pick the newest; the rest, newest last, without further copies of one and the same event."""
    by_position = {change.position: change for change in found}
    *rest, winner = (by_position[position] for position in sorted(by_position))
    newest[place] = winner
    return rest


def _add(
    tables: dict[str, TableChanges], change: Change, losers: dict[Key, list[Change]], on_delete: OnDelete
) -> int:
    """File the change under its table; the number of changes that are going to be written for the document.

    A soft delete keeps the last document, so it needs it written first: otherwise the row would depend on how
    the events happened to be cut into batches.
    """
    table = tables.get(change.table)
    if table is None:
        table = tables[change.table] = TableChanges(change.table)
    if change.document is not None:
        table.upserts.append(change)
        return 1
    table.deletes.append(change)
    older = losers.get(key(change)) if on_delete == "soft" else None
    for at in range(len(older or ()) - 1, -1, -1):
        if older and older[at].document is not None:
            table.upserts.append(older.pop(at))
            return 2
    return 1
