"""The names of things in PostgreSQL: target tables, quoted identifiers, advisory lock keys. Pure.

SQL that holds an identifier is always executed without driver parameters, so a `%` in a name needs no
doubling.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

LIMIT = 63
"""Bytes of an identifier that PostgreSQL keeps; it cuts longer ones silently, so that two become one."""


class LockClass(IntEnum):
    """First number of our two-number advisory locks, so that `pg_locks.classid` tells what a lock is for."""

    TARGET = 0x63646301
    PARTITION = 0x63646302
    SCHEMA = 0x63646303
    LETTERS = 0x63646304


PARTITION_LOCKS = 64
"""So many locks for all partitions: a batch of a thousand must not fill the server's lock table."""


def table_name(namespace: str, database: str | None) -> str:
    """The default table of `database.collection`: the collection when one database is synced, else both.

    A name over 63 bytes is cut at a character and gets a hash of the whole, so that two long names stay two
    tables.
    """
    name = namespace.split(".", 1)[1] if database is not None else namespace
    raw = name.encode()
    if len(raw) <= LIMIT:
        return name
    suffix = "_" + hashlib.sha256(namespace.encode()).hexdigest()[:10]
    return raw[: LIMIT - len(suffix)].decode(errors="ignore") + suffix


def quote(identifier: str) -> str:
    """The identifier as SQL text, whatever it holds."""
    return '"' + identifier.replace('"', '""') + '"'


def qualified(schema: str, table: str) -> str:
    return f"{quote(schema)}.{quote(table)}"


def partition_lock(group: str, topic: str, partition: int) -> int:
    """Which of the partition locks of the group guards this partition (the same in every process)."""
    bucket = int.from_bytes(hashlib.sha256(f"{topic}\0{partition}".encode()).digest()[:4]) % PARTITION_LOCKS
    base = int.from_bytes(hashlib.sha256(group.encode()).digest()[:3])
    return base * PARTITION_LOCKS + bucket
