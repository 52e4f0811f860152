"""The writer: one batch, one transaction, one connection.

Merge the batch, take the fence, write table after table in name order, commit. Up to `copy_threshold` upserts
go as arrays into a prepared statement, more or large ones through COPY (R7.3, R7.4): by way of a staging table, or
straight into the table where all seem to be new (direct.py). When PostgreSQL refuses some of the content, the batch
is written again piece by piece (isolation.py).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain

import psycopg2

from cdc_cli import failpoints
from cdc_cli.apply import Applied, Change, Version, direct, staging
from cdc_cli.apply.direct import Direct
from cdc_cli.apply.fence import Fence
from cdc_cli.apply.isolation import Isolation
from cdc_cli.apply.merge import Merged, OnDelete, TableChanges, merge
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.rows import Rows
from cdc_cli.apply.session import Session
from cdc_cli.apply.skim import Skimmer, by_table
from cdc_cli.apply.sqlstate import Kind, classify, is_poison, translate
from cdc_cli.apply.statements import Target
from cdc_cli.apply.tables import TargetTables
from cdc_cli.consume import Partition
from cdc_cli.errors import Retryable

log = logging.getLogger(__name__)

_MOST_LISTED_BYTES = 1 << 18


class PostgresApplier:
    """Implements Applier. At most `max_writes` transactions run at once (0 = twice the cores of this
    machine): more writers than the server has cores only get in each other's way.
    """

    def __init__(
        self,
        pool: ConnectionPool[Session],
        tables: TargetTables,
        fence: Fence,
        *,
        on_delete: OnDelete = "delete",
        copy_threshold: int = 100,
        max_writes: int = 0,
        acquire_timeout: float = 30.0,
    ) -> None:
        self._pool = pool
        self._tables = tables
        self._fence = fence
        self._on_delete: OnDelete = on_delete
        self._copy_threshold = copy_threshold
        self._turns = threading.BoundedSemaphore(max_writes or 2 * (os.cpu_count() or 1))
        self._timeout = acquire_timeout
        self._skimmer = Skimmer()
        self._direct = Direct()

    @property
    def looks_ahead(self) -> bool:
        return self._skimmer.looks_ahead

    def fresh(self, versions: Sequence[Version | None]) -> Sequence[int]:
        found, tables = by_table(versions)
        todo = [(indexes, self._tables.resolve(table)) for table, indexes in tables.items()]
        try:
            with self._turn(), self._pool.session() as session:
                rows = Rows(session, self._on_delete == "soft")
                for indexes, target in todo:
                    known = [version for version in map(versions.__getitem__, indexes) if version is not None]
                    found += [indexes[index] for index in rows.fresh(target, known)]
        except psycopg2.Error as error:
            if classify(error.pgcode) is Kind.MISSING:
                return range(len(versions))
            raise translate(error, f"look up {len(versions)} positions") from error
        self._skimmer.learn(len(versions), len(versions) - len(found))
        return sorted(found)

    def apply(self, changes: Sequence[Change], partitions: Collection[Partition], left_out: int = 0) -> Applied:
        """See Applier.apply. A target that was dropped meanwhile is created again, once."""
        applied = self._apply_anew(changes, partitions, bool(left_out))
        applied.stale += left_out
        return applied

    def _apply_anew(
        self, changes: Sequence[Change], partitions: Collection[Partition], is_skimmed: bool
    ) -> Applied:
        try:
            return self._apply(changes, partitions, is_skimmed)
        except psycopg2.Error as error:
            if classify(error.pgcode) is not Kind.MISSING:
                raise translate(error, f"write a batch of {len(changes)} changes") from error
            log.warning("a target table is gone, creating it again", extra={"tables": self._forget(changes)})
        try:
            return self._apply(changes, partitions, is_skimmed)
        except psycopg2.Error as error:
            raise translate(error, f"write a batch of {len(changes)} changes") from error

    def _apply(self, changes: Sequence[Change], partitions: Collection[Partition], is_skimmed: bool) -> Applied:
        merged = merge(changes, self._on_delete)
        if not merged.tables:
            return Applied(merged=merged.merged, ignored=merged.ignored)
        generation = self._tables.generation
        # Before a connection is taken: creating a table takes one of its own.
        todo = [(table, self._tables.resolve(table.table)) for table in merged.tables]
        look_ahead = self._skimmer.looks_ahead and not is_skimmed
        # Encoded before the turn: whoever has the turn keeps PostgreSQL busy, not this process.
        lines = None if look_ahead else self._direct_lines(merged, todo)
        staged = None if look_ahead or lines else self._staged(merged, todo)
        with self._turn(), self._pool.session() as session:
            rows = Rows(session, self._on_delete == "soft")
            if look_ahead:
                merged.stale = self._skimmer.skim(rows, todo)
                if not merged.changes:
                    return Applied(stale=merged.stale, merged=merged.merged, ignored=merged.ignored)
                staged = self._staged(merged, todo)
            total = merged.changes + merged.stale
            applied = self._write_directly(session, rows, merged, todo, lines, partitions) if lines else None
            if applied is None:
                staged = self._staged(merged, todo) if lines else staged
                applied = self._write(session, rows, merged, todo, staged, partitions)
            if applied is None:
                applied = self._isolate(session, rows, merged, todo, partitions)
            if self._tables.generation != generation:
                raise Retryable("PostgreSQL was claimed anew while a batch was prepared", code="database.changed")
            failpoints.hit("apply.before_commit")
            session.commit()
            failpoints.hit("apply.after_commit")
        if not is_skimmed:
            self._skimmer.learn(total, applied.stale)
        self._direct.learn(total, applied.inserted)
        return applied

    def _direct_lines(self, merged: Merged, todo: list[tuple[TableChanges, Target]]) -> list[Iterator[bytes]] | None:
        """What goes straight into each table; None when the batch does not look as if it could."""
        if not self._direct.may_try(merged, todo, self._most_listed(merged)):
            return None
        return direct.encode([table for table, _ in todo])

    def _staged(self, merged: Merged, todo: list[tuple[TableChanges, Target]]) -> Iterator[bytes] | None:
        """What goes through COPY, None when the upserts are few and small enough for arrays."""
        if merged.upserts <= self._most_listed(merged):
            return None
        return chain.from_iterable(
            [staging.in_pieces(table.upserts, partial(staging.encode, target.id)) for table, target in todo]
        )

    def _most_listed(self, merged: Merged) -> int:
        """How many upserts may go as arrays: of large documents none, as the driver makes seven copies of an array."""
        if merged.upserts > self._copy_threshold:
            return self._copy_threshold
        size = sum(staging.document_bytes(table.upserts) for table in merged.tables)
        return self._copy_threshold if size <= _MOST_LISTED_BYTES else 0

    def _write_directly(
        self,
        session: Session,
        rows: Rows,
        merged: Merged,
        todo: list[tuple[TableChanges, Target]],
        lines: list[Iterator[bytes]],
        partitions: Collection[Partition],
    ) -> Applied | None:
        """As new rows. Leaves the transaction open; or none and returns None when they cannot be written so."""
        self._begin(session, todo, partitions)
        applied = Applied(merged=merged.merged, ignored=merged.ignored)
        try:
            fits = rows.may_copy_directly([target for _, target in todo])
            for (table, target), encoded in zip(todo, lines, strict=True) if fits else ():
                inserted = rows.copy_directly(target, encoded)
                applied.inserted += inserted
                applied.stale += len(table.upserts) - inserted
        except (psycopg2.Error, ValueError) as error:
            if not direct.declined(error):
                raise
            fits = False
        if fits:
            return applied
        session.rollback()
        self._direct.failed()
        log.debug("a batch does not consist of new rows alone, writing it through the staging table")
        return None

    def _write(
        self,
        session: Session,
        rows: Rows,
        merged: Merged,
        todo: list[tuple[TableChanges, Target]],
        staged: Iterator[bytes] | None,
        partitions: Collection[Partition],
    ) -> Applied | None:
        """All at once; leaves the transaction open, or none and returns None when content is refused."""
        if staged is not None:
            rows.prepare_staging()
        self._begin(session, todo, partitions)
        applied = Applied(stale=merged.stale, merged=merged.merged, ignored=merged.ignored)
        try:
            if staged is not None:
                rows.stage(staged)
            for table, target in todo:
                _write_table(rows, table, target, staged is not None, applied)
        except (psycopg2.Error, ValueError) as error:
            if not is_poison(error):
                raise
            session.rollback()
            return None
        return applied

    def _begin(
        self, session: Session, todo: list[tuple[TableChanges, Target]], partitions: Collection[Partition]
    ) -> None:
        failpoints.hit("apply.before_begin")
        self._fence.begin(session, (target.id for _, target in todo), partitions)
        failpoints.hit("apply.after_begin")

    def _isolate(
        self,
        session: Session,
        rows: Rows,
        merged: Merged,
        todo: list[tuple[TableChanges, Target]],
        partitions: Collection[Partition],
    ) -> Applied:
        rows.prepare_staging()
        self._fence.begin(session, (target.id for _, target in todo), partitions)
        isolation = Isolation(session, rows, merged)
        for table, target in todo:
            isolation.write(table, target)
        return isolation.result()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._timeout):
            raise Retryable(
                f"waited {self._timeout:g} s for a turn to write, PostgreSQL is slow",
                "look for locks and slow statements in PostgreSQL",
                "postgres.slow",
            )
        try:
            yield
        finally:
            self._turns.release()

    def _forget(self, changes: Sequence[Change]) -> list[str]:
        names = sorted({change.table for change in changes})
        for name in names:
            self._tables.forget(name)
        return names


def _write_table(rows: Rows, table: TableChanges, target: Target, copying: bool, applied: Applied) -> None:
    if table.upserts:
        if copying:
            inserted, written = rows.upsert_staged(target, target.id)
        else:
            inserted, written = rows.upsert_listed(target, table.upserts)
        applied.inserted += inserted
        applied.updated += written - inserted
        applied.stale += len(table.upserts) - written
    if table.deletes:
        removed = rows.delete(target, table.deletes)
        applied.deleted += removed
        applied.stale += len(table.deletes) - removed
