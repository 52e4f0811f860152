"""Letting old tombstones go, once no record can be replayed that is older than they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg2

from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.session import Session
from cdc_cli.apply.sqlstate import translate

SLICE = 10_000

# A slice is a walk over so many keys, old or not: bounded work per statement, whatever the table has grown
# to. deleted_at is asked again in the DELETE itself, for a tombstone that was renewed while we waited for its
# lock.
_PURGE = """\
WITH page AS MATERIALIZED (
  SELECT table_id, _id, _id_type, deleted_at FROM cdc.tombstones
   WHERE (table_id, _id, _id_type) > (%s, %s, %s) ORDER BY table_id, _id, _id_type LIMIT %s),
old AS MATERIALIZED (
  SELECT d.table_id, d._id, d._id_type FROM page AS p
    JOIN cdc.tombstones AS d ON d.table_id = p.table_id AND d._id = p._id AND d._id_type = p._id_type
   WHERE p.deleted_at < %s ORDER BY d.table_id, d._id, d._id_type FOR UPDATE OF d SKIP LOCKED),
gone AS (
  DELETE FROM cdc.tombstones AS d USING old AS p
   WHERE d.table_id = p.table_id AND d._id = p._id AND d._id_type = p._id_type AND d.deleted_at < %s
  RETURNING 1)
SELECT table_id, _id, _id_type, (SELECT count(*) FROM gone) FROM page
 ORDER BY table_id DESC, _id DESC, _id_type DESC LIMIT 1"""


class Tombstones:
    """Purges what is older than `retention` seconds. That must exceed what the Kafka topics keep."""

    def __init__(self, pool: ConnectionPool[Session], retention: float) -> None:
        self._pool = pool
        self._retention = retention

    def purge(self, now: datetime) -> int:
        """Remove expired tombstones, slice by slice in key order, each in a transaction; how many.

        `now` has a time zone. Blocks; raises Retryable, Denied. To be called rarely: it reads the whole
        table.
        """
        before = now - timedelta(seconds=self._retention)
        removed = 0
        last: tuple[Any, ...] = (0, "", "")
        while True:
            with self._pool.session() as session:
                try:
                    rows = session.query(_PURGE, (*last, SLICE, before, before))
                except psycopg2.Error as error:
                    raise translate(error, "purge tombstones") from error
            if not rows:
                return removed
            *key, count = rows[0]
            last = tuple(key)
            removed += count
