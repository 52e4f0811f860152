"""The operations on one target inside an open transaction, over one session. Methods raise psycopg2.Error.

ValueError is raised for text that the driver cannot send (NUL, bad UTF-8).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cdc_cli.apply import Change, Version, staging, statements
from cdc_cli.apply.session import Session
from cdc_cli.apply.statements import Target


class Upserted(NamedTuple):
    """How many rows an upsert inserted, and how many it wrote at all; the others were as new already."""

    inserted: int
    written: int


class Rows:
    """Writes to targets. `soft`: a delete marks the row instead of removing it."""

    def __init__(self, session: Session, soft: bool) -> None:
        self._session = session
        self._soft = soft

    def prepare_staging(self) -> None:
        """Have the staging table; before the transaction, because a rollback would take it away again."""
        self._session.prepare("cdc_staging", staging.CREATE)

    def stage(self, encoded: Iterable[bytes]) -> None:
        """Send lines that `staging.encode` made; the staging table is empty when a transaction begins."""
        self._session.copy(staging.COPY, encoded)

    def may_copy_directly(self, targets: Sequence[Target]) -> bool:
        """Whether new rows may be copied straight into these: none has a tombstone. Nobody can take their keys away
        any more until the transaction ends.
        """
        ((buried,),) = self._session.query(statements.has_tombstones(targets))
        return not buried

    def copy_directly(self, target: Target, encoded: Iterable[bytes]) -> int:
        """Insert what `direct.encode` made, all or nothing; how many rows it were (a trigger may drop some)."""
        return self._session.copy(statements.direct(target), encoded)

    def upsert_staged(self, target: Target, piece: int) -> Upserted:
        return self._upsert(statements.copied(target), (piece,))

    def upsert_listed(self, target: Target, changes: Sequence[Change]) -> Upserted:
        documents = [(change.document or b"null").decode() for change in changes]
        return self._upsert(statements.listed(target), (*_keys(changes), documents))

    def fresh(self, target: Target, versions: Sequence[Version | Change]) -> list[int]:
        """The indexes of those that are newer than what the table knows of their documents."""
        name, sql = statements.fresh(target)
        self._session.prepare(name, sql)
        numbers = self._session.query(f"EXECUTE {name}(%s, %s, %s)", _versions(versions))
        return [number - 1 for (number,) in numbers]

    def delete(self, target: Target, changes: Sequence[Change]) -> int:
        """Leave tombstones, then remove the rows that are older; how many there were."""
        wanted = (
            statements.buried(target),
            statements.locked(target),
            statements.removed(target, self._soft),
        )
        for name, sql in wanted:
            self._session.prepare(name, sql)
        keys = _keys(changes)
        run = "; ".join(f"EXECUTE {name}(%s, %s, %s, %s)" for name, _ in wanted)
        rows = self._session.query(run, keys * len(wanted))
        return int(rows[0][0])

    def _upsert(self, statement: tuple[str, str], args: tuple[Any, ...]) -> Upserted:
        name, sql = statement
        self._session.prepare(name, sql)
        inserted, written = self._session.query(f"EXECUTE {name}({', '.join(['%s'] * len(args))})", args)[0]
        return Upserted(inserted, written)


def _keys(changes: Sequence[Change]) -> tuple[str, str, str, str]:
    """Ids, types, positions, times: one array each, as PostgreSQL writes arrays.

    As Python lists the driver would quote element by element, which took longer than everything else here.
    """
    return (*_versions(changes), f"{{{','.join([str(change.time_ms) for change in changes])}}}")


def _versions(versions: Sequence[Version | Change]) -> tuple[str, str, str]:
    return (
        _array([version.id.decode() for version in versions]),
        _array([version.id_type for version in versions]),
        _array([version.position.decode() for version in versions]),
    )


def _array(texts: list[str]) -> str:
    """Every element in double quotes: then only backslash and quote mean something in it."""
    joined = "\0".join(texts)
    if "\\" in joined or '"' in joined:
        joined = joined.replace("\\", "\\\\").replace('"', '\\"')
    if joined.count("\0") != len(texts) - 1:
        raise ValueError("a key holds the character NUL")
    joined = joined.replace("\0", '","')
    return f'{{"{joined}"}}' if texts else "{}"
