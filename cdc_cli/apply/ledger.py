"""The ledger in PostgreSQL: who owns each partition of the group, and from which offset it goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import psycopg2

from cdc_cli import failpoints
from cdc_cli.apply import Fenced
from cdc_cli.apply.claims import NOTHING, Claim, Claims
from cdc_cli.apply.fence import lock_sql
from cdc_cli.apply.names import LockClass, partition_lock
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.session import Session
from cdc_cli.apply.sqlstate import Kind, classify, translate
from cdc_cli.consume import Partition
from cdc_cli.errors import PositionLost

log = logging.getLogger(__name__)

_UNDEFINED_COLUMN = "42703"

_CLAIM = """\
INSERT INTO cdc.offsets AS o (group_id, topic, partition, owner, topic_id)
SELECT %s, w.topic, w.number, %s, w.topic_id FROM unnest(%s, %s, %s::text[]) AS w(topic, number, topic_id)
 ORDER BY w.topic COLLATE "C", w.number
    ON CONFLICT (group_id, topic, partition) DO UPDATE SET owner = excluded.owner, updated_at = now(),
       topic_id = CASE WHEN o.next_offset IS NULL THEN excluded.topic_id
                       ELSE coalesce(o.topic_id, excluded.topic_id) END
RETURNING o.topic, o.partition, o.next_offset, o.topic_id, pg_relation_filenode('cdc.offsets')::bigint"""

_STORE = """\
WITH wanted AS (
  SELECT * FROM unnest(%s, %s, %s, %s::bigint[], %s::bigint[]) AS w(topic, number, next_offset, known, file)),
stored AS (
  UPDATE cdc.offsets AS o SET next_offset = w.next_offset, updated_at = now() FROM wanted AS w
   WHERE o.group_id = %s AND o.topic = w.topic AND o.partition = w.number AND o.owner = %s
     AND coalesce(o.next_offset, -1) >= coalesce(w.known, -1)
     AND pg_relation_filenode('cdc.offsets')::bigint = coalesce(w.file, pg_relation_filenode('cdc.offsets')::bigint)
  RETURNING o.topic, o.partition)
SELECT w.topic, w.number, o.owner IS NOT DISTINCT FROM %s FROM wanted AS w
  LEFT JOIN cdc.offsets AS o ON o.group_id = %s AND o.topic = w.topic AND o.partition = w.number
 WHERE NOT EXISTS (SELECT FROM stored AS s WHERE s.topic = w.topic AND s.partition = w.number)"""
"""An offset that is lower than the one stored last, or a table in another file: the database has gone back."""

_VERIFY = """\
SELECT w.topic, w.number, o.owner IS NOT DISTINCT FROM %s
  FROM unnest(%s, %s, %s::bigint[], %s::bigint[]) AS w(topic, number, known, file)
  LEFT JOIN cdc.offsets AS o ON o.group_id = %s AND o.topic = w.topic AND o.partition = w.number
 WHERE o.owner IS DISTINCT FROM %s OR coalesce(o.next_offset, -1) < coalesce(w.known, -1)
    OR pg_relation_filenode('cdc.offsets')::bigint <> w.file"""


class PostgresLedger:
    """Implements Ledger. `owner` must differ for every process and every start.

    `claims` are shared with the writers' fence. `ensure_schema` makes the tables, should a database without them come
    back; `forget` drops what is remembered of the database, when it may be another one.
    """

    def __init__(
        self,
        pool: ConnectionPool[Session],
        group_id: str,
        owner: str,
        claims: Claims,
        ensure_schema: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._group = group_id
        self._owner = owner
        self._claims = claims
        self._ensure_schema = ensure_schema
        self._forget = forget

    def claim(
        self, partitions: Collection[Partition], topic_ids: Mapping[str, str] | None = None
    ) -> Mapping[Partition, int]:
        """See Ledger.claim. Waits for the former owner's batches up to the session's lock_timeout (10 s)."""
        if not partitions:
            return {}
        ids = topic_ids or {}
        try:
            return self._claim(partitions, ids)
        except psycopg2.Error as error:
            if classify(error.pgcode) is not Kind.MISSING and error.pgcode != _UNDEFINED_COLUMN:
                raise translate(error, f"claim {len(partitions)} partitions in the ledger") from error
            log.warning("PostgreSQL has lost the schema cdc, or has an older one: making it again")
        self._ensure_schema()
        try:
            return self._claim(partitions, ids)
        except psycopg2.Error as error:
            raise translate(error, f"claim {len(partitions)} partitions in the ledger") from error

    def store(self, offsets: Mapping[Partition, int]) -> None:
        """See Ledger.store."""
        if not offsets:
            return
        topics, numbers = _columns(offsets)
        known, files = self._known(offsets)
        with self._pool.session() as session:
            self._claims.check(session.server, offsets)
            try:
                # Beside a batch, never beside a claim, so that the two cannot wait for each other's rows.
                session.query("BEGIN; " + self._lock(offsets, shared=True))
                args = (topics, numbers, list(offsets.values()), known, files)
                self._judge(session.query(_STORE, (*args, self._group, self._owner, self._owner, self._group)))
                failpoints.hit("offsets.before_commit")
                session.commit()
            except psycopg2.Error as error:
                raise translate(error, f"store {len(offsets)} offsets in the ledger") from error
        self._claims.stored(offsets)

    def verify(self, partitions: Collection[Partition]) -> None:
        """See Ledger.verify."""
        if not partitions:
            return
        args = (self._owner, *_columns(partitions), *self._known(partitions), self._group, self._owner)
        with self._pool.session() as session:
            self._claims.check(session.server, partitions)
            try:
                refused = session.query(_VERIFY, args)
            except psycopg2.Error as error:
                raise translate(error, f"look after {len(partitions)} offsets in the ledger") from error
        self._judge(refused)

    def _known(self, partitions: Collection[Partition]) -> tuple[Any, Any]:
        claims = self._claims.of(partitions)
        return [claim and claim.offset for claim in claims], [claim and claim.file for claim in claims]

    def _claim(self, partitions: Collection[Partition], ids: Mapping[str, str]) -> Mapping[Partition, int]:
        topics, numbers = _columns(partitions)
        with self._pool.session() as session:
            session.query("BEGIN; " + self._lock(partitions, shared=False))
            args = (self._group, self._owner, topics, numbers, [ids.get(topic) for topic in topics])
            rows = session.query(_CLAIM, args)
            for topic, _, _, stored, _ in rows:
                if stored is not None and ids.get(topic, stored) != stored:
                    raise recreated(self._group, topic, stored, ids[topic])
            claims = {
                Partition(topic, number): Claim(session.server, file, NOTHING if offset is None else offset)
                for topic, number, offset, _, file in rows
            }
            # While the locks are held nobody writes; who writes afterwards has to look everything up again.
            if self._claims.made(claims):
                self._forget()
            session.commit()
        return {partition: claim.offset for partition, claim in claims.items() if claim.offset != NOTHING}

    def _judge(self, refused: Sequence[tuple[Any, ...]]) -> None:
        """Why offsets were not stored: somebody else owns the partition, or the database went back."""
        lost = [Partition(topic, number) for topic, number, is_ours in refused if not is_ours]
        if lost:
            raise Fenced(lost)
        if refused:
            raise self._claims.void()

    def _lock(self, partitions: Collection[Partition], shared: bool) -> str:
        keys = (partition_lock(self._group, *partition) for partition in partitions)
        return lock_sql(LockClass.PARTITION, keys, shared)


def recreated(group: str, topic: str, stored: str, now: str) -> PositionLost:
    """The stored offset counts the records of another topic, and would pass over the first ones of this one."""
    return PositionLost(
        f"the topic {topic} was deleted and made anew: its offset in PostgreSQL was stored for the topic id {stored}, "
        f"Kafka's topic of that name has the id {now}",
        "let MongoDB send again what was not read of the old topic (cdc token reset), then read the new one from its "
        f"beginning: DELETE FROM cdc.offsets WHERE group_id = '{_quoted(group)}' AND topic = '{_quoted(topic)}'; "
        "see README, When a position is lost",
        "topic.recreated",
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _columns(partitions: Collection[Partition]) -> tuple[Any, Any]:
    return [partition.topic for partition in partitions], [partition.number for partition in partitions]
