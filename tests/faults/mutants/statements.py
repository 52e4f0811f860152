"""Bugs inside the SQL and the token's record: caught by tests on a real PostgreSQL, and by the record's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from cdc_cli.apply import direct, fence, ledger
from cdc_cli.apply import statements as sql
from cdc_cli.checkpoint import record


def _altered(text: str, old: str, new: str) -> str:
    assert old in text, f"the statement has changed, the mutant has to follow: {old}"
    return text.replace(old, new)


def _altering(function: Callable[..., Any], old: str, new: str) -> Callable[..., Any]:
    def mutant(*args: Any) -> Any:
        made = function(*args)
        return _altered(made, old, new) if isinstance(made, str) else (made[0], _altered(made[1], old, new))

    return mutant


@contextmanager
def upsert_without_guard() -> Iterator[None]:
    """A plain upsert: what is written last wins."""
    guard = 'WHERE t.cdc_position COLLATE "C" < excluded.cdc_position'
    with patch.object(sql, "_upsert", _altering(sql._upsert, guard, "")):
        yield


@contextmanager
def delete_without_tombstone() -> Iterator[None]:
    """Nothing remembers that a document was deleted."""
    nobody = "FROM (SELECT NULL WHERE false) AS nobody, unnest"
    with patch.object(sql, "buried", _altering(sql.buried, "FROM unnest", nobody)):
        yield


@contextmanager
def delete_without_guard() -> Iterator[None]:
    """A delete removes whatever row stands there."""
    guard = 'AND t.cdc_position COLLATE "C" < s.position'
    with patch.object(sql, "removed", _altering(sql.removed, guard, "")):
        yield


@contextmanager
def copy_without_tombstones() -> Iterator[None]:
    """New rows go straight into their table, though some may have been deleted already."""
    altered = _altering(sql.has_tombstones, "WHERE table_id", "WHERE false AND table_id")
    with patch.object(sql, "has_tombstones", altered):
        yield


@contextmanager
def copy_without_key() -> Iterator[None]:
    """Nobody makes sure that the unique key is still there on which COPY relies."""
    altered = _altering(sql.has_tombstones, "ON CONFLICT (_id, _id_type) DO NOTHING", "")
    with patch.object(sql, "has_tombstones", altered):
        yield


@contextmanager
def copy_in_any_order() -> Iterator[None]:
    """New rows are locked in the order of their events."""
    with patch.object(direct, "sorted", lambda changes, key: changes, create=True):
        yield


@contextmanager
def fence_not_asked() -> Iterator[None]:
    """A batch is written whoever owns its partitions."""
    text = _altered(fence._PREPARE, "WHERE o.owner IS DISTINCT FROM $2", "WHERE false AND o.owner = $2")
    with patch.object(fence, "_PREPARE", text):
        yield


@contextmanager
def ledger_not_fenced() -> Iterator[None]:
    """Offsets are stored whoever owns the partition."""
    text = _altered(ledger._STORE, "AND o.owner = %s", "AND %s IS NOT NULL")
    with patch.object(ledger, "_STORE", text):
        yield


@contextmanager
def lower_offset_passed_over() -> Iterator[None]:
    """Offsets are stored whatever the ledger has."""
    text = _altered(ledger._STORE, "coalesce(o.next_offset, -1) >= coalesce(w.known, -1)", "true")
    with patch.object(ledger, "_STORE", text):
        yield


@contextmanager
def checksum_not_compared() -> Iterator[None]:
    """A token record is taken as it is."""
    encode, decode = record._checksum, record.decode

    class Anything(str):
        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = str.__hash__

    assert decode
    with patch.object(record, "_checksum", lambda body: Anything(encode(body))):
        yield
