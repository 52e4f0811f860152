"""Looking into PostgreSQL as an administrator would, past all code of the product."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2


@contextmanager
def connection(dsn: str) -> Iterator[Any]:
    """A connection with autocommit, closed afterwards."""
    opened = psycopg2.connect(dsn, connect_timeout=10)
    try:
        opened.autocommit = True
        yield opened
    finally:
        opened.close()


def query(dsn: str, sql: str, *args: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement; an empty list when it has none."""
    with connection(dsn) as opened, opened.cursor() as cursor:
        cursor.execute(sql, args or None)
        return cursor.fetchall() if cursor.description else []
