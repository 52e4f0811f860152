"""Leaving out what is stale before its document is looked at: what makes a replay cheaper than the first time.

The guard of the upsert finds a stale event only after its document was mapped, copied, parsed and its row locked.
Where most events are stale, as in a replay or after an offset was set back, one look at the positions by key comes
first. It may run outside the transaction: a position only grows (invariant I3), so what is stale stays stale.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdc_cli.apply import Version
from cdc_cli.apply.merge import TableChanges
from cdc_cli.apply.rows import Rows
from cdc_cli.apply.statements import Target

_MANY = 0.5
"""The share of stale events from which a look ahead costs less than it saves."""


class Skimmer:
    """Decides by the batch before; shared by all writers, none of whom needs it exact."""

    def __init__(self) -> None:
        self.looks_ahead = False

    def skim(self, rows: Rows, todo: Sequence[tuple[TableChanges, Target]]) -> int:
        """Take the stale upserts out of `todo`; how many. Raises psycopg2.Error."""
        stale = 0
        for table, target in todo:
            if table.upserts:
                fresh = [table.upserts[index] for index in rows.fresh(target, table.upserts)]
                stale += len(table.upserts) - len(fresh)
                table.upserts = fresh
        return stale

    def learn(self, changes: int, stale: int) -> None:
        """What a batch of so many changes turned out to be."""
        self.looks_ahead = stale > changes * _MANY


def by_table(versions: Sequence[Version | None]) -> tuple[list[int], dict[str, list[int]]]:
    """The indexes of those of which nothing is known, and of the others by table."""
    unknown: list[int] = []
    tables: dict[str, list[int]] = {}
    for index, version in enumerate(versions):
        (unknown if version is None else tables.setdefault(version.table, [])).append(index)
    return unknown, tables
