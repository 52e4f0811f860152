"""When the last row was committed, from PostgreSQL itself (track_commit_timestamp): exact, and nobody has to poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_cli.demo.stages import tables

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

PARAMETERS = {"track_commit_timestamp": "on"}
"""What the server has to be started with."""


def last_commit(postgres: Connection) -> float | None:
    """Seconds since the epoch of the newest row or tombstone (of a delete); None when there is none.

    Blocks for reading all tables. Raises psycopg2.Error.
    """
    from psycopg2 import sql

    newest = sql.SQL("SELECT max(pg_xact_commit_timestamp(xmin)) AS at FROM {}")
    with postgres.cursor() as cursor:
        names = [sql.Identifier("cdc", "tombstones"), *(sql.Identifier("public", name) for name in tables(cursor))]
        union = sql.SQL(" UNION ALL ").join(newest.format(name) for name in names)
        cursor.execute(sql.SQL("SELECT extract(epoch FROM max(at))::float8 FROM ({}) AS newest").format(union))
        row = cursor.fetchone()
    return None if row is None else row[0]
