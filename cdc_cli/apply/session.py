"""One connection to PostgreSQL: how it is opened, how it is set up, and what was prepared on it.

The connection is in the driver's autocommit mode and transactions are written out, so that BEGIN can share a
round trip with the first statement.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterable
from io import BytesIO, RawIOBase
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, make_dsn, parse_dsn
from psycopg2.extensions import connection as Connection

from cdc_cli.apply.claims import Server
from cdc_cli.apply.names import quote
from cdc_cli.apply.sqlstate import translate_connect
from cdc_cli.errors import ConfigError

OLDEST_SERVER = 120_000
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_COPY_BYTES = 1 << 18
"""The driver keeps a buffer for the largest piece that it ever sent, for each connection."""
_UNKNOWN = Server("", 0)
_LOCK_TIMEOUT = 10.0
_IDLE_IN_TRANSACTION = 15.0
"""Seconds after which the server ends the transaction of a process that stands still, and frees its locks."""

_SETTINGS = """\
SET search_path = {search_path};
SET TimeZone = 'UTC';
SET default_transaction_isolation = 'read committed';
SET statement_timeout = {statement_timeout};
SET lock_timeout = {lock_timeout};
SET idle_in_transaction_session_timeout = {idle_timeout};
SET jit = off;
SET plan_cache_mode = force_custom_plan;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET enable_bitmapscan = off; SET enable_material = off;
SELECT set_config('synchronous_commit', 'on', false)
 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
SELECT pg_postmaster_start_time()::text, oid::bigint FROM pg_database WHERE datname = current_database()
"""
"""All our statements look up a few keys in big tables, so each lookup shall be one in the index; and plans
are made anew each time (0.1 ms), as one from the time when a table was small would go on reading it whole.
A stronger synchronous_commit (remote_apply) is left as the server has it."""


class Session:
    """A connection for one thread at a time. Methods block, and raise psycopg2.Error.

    `server` is the one that it is with; `is_current` tells whether the newest connection is with the same.
    """

    def __init__(self, connection: Connection, server: Server, is_current: Callable[[Server], bool]) -> None:
        self._connection = connection
        self._is_current = is_current
        self.server = server
        self.prepared: set[str] = set()

    def query(self, sql: str, args: Iterable[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one or several statements in one round trip; the rows of the last one.

        Without `args` the text goes as it is: statements with identifiers in them have none.
        """
        with self._connection.cursor() as cursor:
            cursor.execute(sql, None if args is None else tuple(args))
            return cursor.fetchall() if cursor.description else []

    def prepare(self, name: str, sql: str) -> None:
        """Make sure that `EXECUTE name` works on this connection; `sql` starts with `PREPARE name`."""
        if name not in self.prepared:
            self.query(sql)
            self.prepared.add(name)

    def copy(self, sql: str, rows: Iterable[bytes]) -> int:
        """Send lines of COPY's text format, taken piece by piece; how many rows the table took."""
        with self._connection.cursor() as cursor:
            cursor.copy_expert(sql, _Pieces(rows), size=_COPY_BYTES)
            return int(cursor.rowcount)

    def commit(self) -> None:
        """End the transaction; a server that rolled it back instead says so only in the command tag."""
        with self._connection.cursor() as cursor:
            cursor.execute("COMMIT")
            if cursor.statusmessage != "COMMIT":
                raise psycopg2.OperationalError(f"COMMIT was answered with {cursor.statusmessage}")

    def rollback(self) -> None:
        self.query("ROLLBACK")

    def alive(self) -> bool:
        """A server that closed the connection made its socket readable; a healthy one is silent.

        A server that was replaced by another one may still answer: nobody wants to write there.
        """
        if self._connection.closed or not self._is_current(self.server):
            return False
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        return not poll.poll(0) or self._answers()

    def recover(self) -> bool:
        """Leave the transaction and forget what was prepared, as the cause may have been a stale plan."""
        self.prepared.clear()
        try:
            self.query("ROLLBACK; DEALLOCATE ALL")
        except (psycopg2.Error, OSError):
            return False
        return self._connection.get_transaction_status() == TRANSACTION_STATUS_IDLE

    def cancel(self) -> None:
        """End, from another thread, what waits on this connection, also when the server does not answer at all.

        The socket is shut down rather than the server asked to cancel: asking takes a connection of its own, which
        a server that is gone never accepts. The waiting call fails as if the connection were lost.
        """
        try:
            with socket.socket(fileno=os.dup(self._connection.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg2.Error):
            pass

    def close(self) -> None:
        try:
            self._connection.close()
        except psycopg2.Error:
            pass

    def _answers(self) -> bool:
        try:
            return self.query("SELECT 1") == [(1,)]
        except (psycopg2.Error, OSError):
            return False


class Connector:
    """Opens sessions. What postgres.dsn says itself (keepalives, application_name) is respected.

    The newest session tells where the database is now, and outdates those with any other server.
    """

    def __init__(self, dsn: str, name: str, schema: str, statement_timeout: float) -> None:
        self._dsn = dsn
        self._name = name
        self._schema = schema
        self._statement_timeout = statement_timeout
        self._server: Server | None = None

    def __call__(self) -> Session:
        """Connect and set up; blocks up to connect_timeout. Raises Retryable, Denied, ConfigError."""
        given = self._parse()
        options = {"application_name": f"cdc:{self._name}", **_DEFAULTS, **given, "client_encoding": "UTF8"}
        try:
            connection = psycopg2.connect(make_dsn(**options))
        except psycopg2.Error as error:
            raise translate_connect(_masked(error, given), _where(given)) from None
        return self._set_up(connection, given)

    def _parse(self) -> dict[str, Any]:
        try:
            return parse_dsn(self._dsn)
        except psycopg2.Error:
            # The driver's message quotes the part that it could not read, which may be the password.
            raise ConfigError(
                "postgres.dsn is neither a postgresql:// URL nor a libpq connection string",
                "for example postgresql://user:password@host:5432/database",
                "postgres.dsn",
            ) from None

    def _set_up(self, connection: Connection, given: dict[str, Any]) -> Session:
        session = Session(connection, _UNKNOWN, self._is_current)
        try:
            connection.autocommit = True
            ((started, database),) = session.query(self._settings())
        except psycopg2.Error as error:
            session.close()
            raise translate_connect(_masked(error, given), _where(given)) from None
        if connection.server_version < OLDEST_SERVER:
            session.close()
            version = connection.server_version // 10_000
            raise ConfigError(f"PostgreSQL {version} is too old: 12 is the oldest that works")
        session.server = self._server = Server(started, database)
        return session

    def _is_current(self, server: Server) -> bool:
        return server == self._server

    def _settings(self) -> str:
        lock = min(_LOCK_TIMEOUT, self._statement_timeout or _LOCK_TIMEOUT)
        path = [self._schema] if self._schema == "public" else [self._schema, "public"]
        return _SETTINGS.format(
            search_path=", ".join(map(quote, path)),
            statement_timeout=round(self._statement_timeout * 1000),
            lock_timeout=round(lock * 1000),
            idle_timeout=round(_IDLE_IN_TRANSACTION * 1000),
        )


class _Pieces(RawIOBase):
    """Bytes out of pieces, as a file for COPY: a read ends with a piece, whose successor is not made before."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._file = BytesIO()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        while not data:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._file = BytesIO(piece)
            del piece
            data = self._file.read(size)
        return data


def _masked(error: psycopg2.Error, given: dict[str, Any]) -> Exception:
    """The driver's words without the password, should they quote it."""
    password = given.get("password")
    return Exception(str(error).replace(password, "****")) if password else error


def _where(given: dict[str, Any]) -> str:
    host = given.get("host") or given.get("hostaddr") or "the local socket"
    return f"PostgreSQL at {host}, database {given.get('dbname') or given.get('user') or '(default)'}"
