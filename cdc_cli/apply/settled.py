"""The dead letters that are settled, in the table `cdc.dead_letters`, and the right of one process to settle them.

The right is an advisory lock of the very session that writes the table: when the connection is lost, so is the
right, and the next write notices. The server gives it back when the process ends, however it ends.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg2

from cdc_cli.apply.names import LockClass
from cdc_cli.apply.session import Session
from cdc_cli.apply.sqlstate import translate
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import How, Place, Settled
from cdc_cli.consume.ranges import Bounds
from cdc_cli.errors import TryLater

_T = TypeVar("_T")

_TABLE = """\
CREATE TABLE IF NOT EXISTS cdc.dead_letters (
  group_id text COLLATE "C",
  topic text COLLATE "C",
  partition integer,
  record_offset bigint,
  record_time bigint,
  outcome text COLLATE "C" NOT NULL,
  reason text NOT NULL,
  settled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (group_id, topic, partition, record_offset, record_time)
)"""
"""`record_offset` and `record_time` (Kafka's, epoch milliseconds) are those of the record in the dead-letter topic."""

_LOAD = """\
SELECT d.topic, d.partition, d.record_offset, d.record_time, d.outcome, d.reason,
       extract(epoch FROM d.settled_at)::float8
  FROM unnest(%s, %s, %s, %s) AS w(topic, number, first, past)
  JOIN cdc.dead_letters AS d ON d.group_id = %s AND d.topic = w.topic AND d.partition = w.number
   AND d.record_offset >= w.first AND d.record_offset < w.past"""

_SETTLE = """\
INSERT INTO cdc.dead_letters (group_id, topic, partition, record_offset, record_time, outcome, reason)
SELECT %s, w.topic, w.number, w.record_offset, w.record_time, w.outcome, %s
  FROM unnest(%s, %s, %s, %s, %s) AS w(topic, number, record_offset, record_time, outcome)
    ON CONFLICT DO NOTHING"""

_FORGET = """\
DELETE FROM cdc.dead_letters AS d USING unnest(%s, %s, %s) AS w(topic, number, first)
 WHERE d.group_id = %s AND d.topic = w.topic AND d.partition = w.number AND d.record_offset < w.first"""

_HOLDER = """\
SELECT a.application_name, to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = %s AND l.objid = %s
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

_NAME_SESSION = """\
SELECT set_config('application_name', %s, false),
       (SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout')"""
_NAME = "cdc dead letters: process "
_LONGEST_NAME = 63


class PostgresLetters:
    """A `LetterMemory` on one connection of its own; one thread's object. `close` gives everything back."""

    def __init__(self, connect: Callable[[], Session], group_id: str, ensure_schema: Callable[[], None]) -> None:
        self._connect = connect
        self._ensure_schema = ensure_schema
        self._group = group_id
        self._key = int.from_bytes(hashlib.sha256(f"dead letters\0{group_id}".encode()).digest()[:4], signed=True)
        self._session: Session | None = None
        self._holds = self._is_new = False

    def hold(self) -> bool:
        self._guarded("take the right to the dead letters", self._take)
        is_new, self._is_new = self._is_new, False
        return is_new

    def load(self, ranges: Mapping[Partition, Bounds]) -> Mapping[Place, Settled]:
        def ask(session: Session) -> list[tuple[Any, ...]]:
            if not ranges or session.query("SELECT to_regclass('cdc.dead_letters')") == [(None,)]:
                return []
            firsts, ends = [b.first for b in ranges.values()], [b.end for b in ranges.values()]
            return session.query(_LOAD, (*_columns(list(ranges)), firsts, ends, self._group))

        found = self._guarded("look up which dead letters are settled", ask)
        return {Place(Partition(t, p), o, ms): Settled(How(how), why, at) for t, p, o, ms, how, why, at in found}

    def settle(self, letters: Mapping[Place, How], reason: str = "") -> None:
        places = list(letters)
        offsets, times = [place.offset for place in places], [place.timestamp for place in places]
        columns = (*_columns([place.partition for place in places]), offsets, times)
        outcomes = [how.value for how in letters.values()]

        def write(session: Session) -> None:
            self._take(session)
            session.query(_SETTLE, (self._group, reason, *columns, outcomes))

        if places:
            self._guarded("note which dead letters are settled", write)

    def forget(self, kept: Mapping[Partition, int]) -> None:
        def write(session: Session) -> None:
            self._take(session)
            session.query(_FORGET, (*_columns(list(kept)), list(kept.values()), self._group))

        if kept:
            self._guarded("forget dead letters that Kafka no longer keeps", write)

    def close(self) -> None:
        """Never raises."""
        session, self._session, self._holds = self._session, None, False
        if session is not None:
            session.close()

    def _take(self, session: Session) -> None:
        """Nothing but a look when the right is held; the session and the right end together."""
        if self._holds and session.query("SELECT 1"):
            return
        me = f"{_NAME}{os.getpid()} on {socket.gethostname()}".encode("ascii", "replace")[:_LONGEST_NAME].decode()
        session.query(_NAME_SESSION, (me,))
        if session.query("SELECT pg_try_advisory_lock(%s, %s)", (int(LockClass.LETTERS), self._key)) != [(True,)]:
            raise self._held(session)
        self._holds = self._is_new = True
        if session.query("SELECT to_regclass('cdc.dead_letters')") == [(None,)]:
            self._ensure_schema()
            session.query(_TABLE)

    def _held(self, session: Session) -> TryLater:
        # Locks are shown as unsigned numbers.
        rows = session.query(_HOLDER, (int(LockClass.LETTERS), self._key & 0xFFFFFFFF))
        who = "another process"
        if rows:
            name, since = rows[0]
            who = name.removeprefix("cdc dead letters: ") if (name or "").startswith(_NAME) else f"a session {name!r}"
            who = f"{who} (since {since})"
        return TryLater(
            f"the dead letters of this pipeline are being worked on by {who}",
            "wait until it has ended, or end it: PostgreSQL frees them with its connection",
            "dead_letters.held",
        )

    def _guarded(self, doing: str, ask: Callable[[Session], _T]) -> _T:
        """The connection is opened where there is none; a broken one is let go, and with it the right."""
        if self._session is None:
            self._session = self._connect()
        try:
            return ask(self._session)
        except psycopg2.Error as error:
            if not self._session.recover():
                self.close()
            raise translate(error, doing) from error


def _columns(partitions: Sequence[Partition]) -> tuple[list[str], list[int]]:
    return [partition.topic for partition in partitions], [partition.number for partition in partitions]
