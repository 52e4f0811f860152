"""The ledger in PostgreSQL: who owns each partition of the group, and from which offset it goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import psycopg2

from cdc_cli import failpoints
from cdc_cli.apply import Fenced
from cdc_cli.apply.fence import lock_sql
from cdc_cli.apply.names import LockClass, partition_lock
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.session import Session
from cdc_cli.apply.sqlstate import translate
from cdc_cli.consume import Partition

_CLAIM = """\
INSERT INTO cdc.offsets AS o (group_id, topic, partition, owner)
SELECT %s, w.topic, w.number, %s FROM unnest(%s, %s) AS w(topic, number)
 ORDER BY w.topic COLLATE "C", w.number
    ON CONFLICT (group_id, topic, partition) DO UPDATE SET owner = excluded.owner, updated_at = now()
RETURNING o.topic, o.partition, o.next_offset"""

_STORE = """\
WITH wanted AS (SELECT * FROM unnest(%s, %s, %s) AS w(topic, number, next_offset)),
stored AS (
  UPDATE cdc.offsets AS o SET next_offset = w.next_offset, updated_at = now() FROM wanted AS w
   WHERE o.group_id = %s AND o.topic = w.topic AND o.partition = w.number AND o.owner = %s
  RETURNING o.topic, o.partition)
SELECT topic, number FROM wanted EXCEPT SELECT topic, partition FROM stored"""


class PostgresLedger:
    """Implements Ledger. `owner` must differ for every process and every start."""

    def __init__(self, pool: ConnectionPool[Session], group_id: str, owner: str) -> None:
        self._pool = pool
        self._group = group_id
        self._owner = owner

    def claim(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """See Ledger.claim. Waits for the former owner's batches up to the session's lock_timeout (10 s)."""
        if not partitions:
            return {}
        topics, numbers = [p.topic for p in partitions], [p.number for p in partitions]
        with self._pool.session() as session:
            try:
                session.query("BEGIN; " + self._lock(partitions, shared=False))
                rows = session.query(_CLAIM, (self._group, self._owner, topics, numbers))
                session.commit()
            except psycopg2.Error as error:
                raise translate(error, f"claim {len(partitions)} partitions in the ledger") from error
        return {Partition(topic, number): offset for topic, number, offset in rows if offset is not None}

    def store(self, offsets: Mapping[Partition, int]) -> None:
        """See Ledger.store. All or none: when one partition is lost, the others are not stored either."""
        if not offsets:
            return
        topics, numbers = [p.topic for p in offsets], [p.number for p in offsets]
        with self._pool.session() as session:
            try:
                # Beside a batch, never beside a claim, so that the two cannot wait for each other's rows.
                session.query("BEGIN; " + self._lock(offsets, shared=True))
                args = (topics, numbers, list(offsets.values()), self._group, self._owner)
                lost = session.query(_STORE, args)
                if lost:
                    raise Fenced([Partition(topic, number) for topic, number in lost])
                failpoints.hit("offsets.before_commit")
                session.commit()
            except psycopg2.Error as error:
                raise translate(error, f"store {len(offsets)} offsets in the ledger") from error

    def _lock(self, partitions: Collection[Partition], shared: bool) -> str:
        keys = (partition_lock(self._group, *partition) for partition in partitions)
        return lock_sql(LockClass.PARTITION, keys, shared)
