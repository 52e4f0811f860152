"""Finding the changes that PostgreSQL refuses, and writing all others, when a batch has failed for its
content.

Every piece is tried under a savepoint. An error in COPY names its line, so that what stands before it is
known to be readable; any other error (a constraint of the target, a trigger) halves the piece. So a few bad
rows cost a few passes, and a batch of nothing but bad rows about n log n, never n squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count

import psycopg2

from cdc_cli.apply import Applied, Change, Rejected, staging
from cdc_cli.apply.merge import Merged, TableChanges
from cdc_cli.apply.rows import Rows
from cdc_cli.apply.session import Session
from cdc_cli.apply.sqlstate import is_poison, translate
from cdc_cli.apply.statements import Target
from cdc_cli.errors import PoisonEvent


class Isolation:
    """One batch, written piece by piece in an open transaction. Raises what is not about content."""

    def __init__(self, session: Session, rows: Rows, merged: Merged) -> None:
        self._session = session
        self._rows = rows
        self._merged = merged
        self._pieces = count(1)
        self._applied = Applied()

    def write(self, table: TableChanges, target: Target) -> None:
        """Write the table's changes; in key order, because pieces take their locks one after the other."""
        self._attempt(target, sorted(table.upserts, key=_row_key))
        self._attempt(target, sorted(table.deletes, key=_row_key))

    def result(self) -> Applied:
        """What has been written and refused so far, and what the merge had left out."""
        self._applied.merged = self._merged.merged
        self._applied.ignored = self._merged.ignored
        self._applied.stale += self._merged.stale
        return self._applied

    def _attempt(self, target: Target, changes: Sequence[Change]) -> None:
        if not changes:
            return
        self._session.query("SAVEPOINT piece")
        try:
            self._write(target, changes)
        except (psycopg2.Error, ValueError) as error:
            if not is_poison(error):
                raise
            self._session.query("ROLLBACK TO SAVEPOINT piece; RELEASE SAVEPOINT piece")
            self._split(target, changes, error)
        else:
            self._session.query("RELEASE SAVEPOINT piece")

    def _write(self, target: Target, changes: Sequence[Change]) -> None:
        if changes[0].document is None:
            removed = self._rows.delete(target, changes)
            self._applied.deleted += removed
            self._applied.stale += len(changes) - removed
            return
        piece = next(self._pieces)
        self._rows.stage(staging.in_pieces(changes, partial(staging.encode, piece)))
        inserted, written = self._rows.upsert_staged(target, piece)
        self._applied.inserted += inserted
        self._applied.updated += written - inserted
        self._applied.stale += len(changes) - written

    def _split(self, target: Target, changes: Sequence[Change], error: Exception) -> None:
        if len(changes) == 1:
            self._refuse(target, changes[0], error)
            return
        line = staging.bad_line(error.diag.context) if isinstance(error, psycopg2.Error) else None
        if line is None:
            middle = len(changes) // 2
            self._attempt(target, changes[:middle])
            self._attempt(target, changes[middle:])
            return
        bad, rest = changes[line - 1], changes[line:]
        self._attempt(target, changes[: line - 1])
        self._refuse(target, bad, error)
        middle = len(rest) // 2
        self._attempt(target, rest[:middle])
        self._attempt(target, rest[middle:])

    def _refuse(self, target: Target, change: Change, error: Exception) -> None:
        """Report it, and let the next newest change of the same document have its place."""
        reason = translate(error, f"write a document to {target.sql}")
        assert isinstance(reason, PoisonEvent)
        self._applied.rejected.append(Rejected(change, reason))
        successor = self._merged.next_after(change)
        if successor is not None:
            self._attempt(target, [successor])


def _row_key(change: Change) -> tuple[bytes, bytes]:
    """Bytes of UTF-8 sort like the C collation."""
    return change.id, change.id_type.encode()
