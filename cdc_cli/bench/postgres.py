"""The bench in PostgreSQL: a schema of its own, its rows in `cdc`, and the mark that a run is alive.

That mark is an advisory lock on a connection that the run keeps: it ends with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence

import psycopg2

from cdc_cli.apply.names import LockClass, qualified, quote
from cdc_cli.apply.session import Connector, Session
from cdc_cli.apply.sqlstate import translate
from cdc_cli.bench.names import PREFIX, Run
from cdc_cli.bench.things import Kind, Thing, found
from cdc_cli.errors import TryLater
from cdc_cli.settings.models import PostgresSettings

_LOCK_CLASS = 0x63646362
_MADE_CDC = "cdc bench: the schema cdc was made by this run"
_FOUND_CDC = "cdc bench"
_RUNS = r"SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'cdc\_bench\_%'"
_RUNS_IN_CDC = r"""
SELECT schema_name FROM cdc.tables WHERE schema_name LIKE 'cdc\_bench\_%'
UNION SELECT group_id FROM cdc.offsets WHERE group_id LIKE 'cdc\_bench\_%'
"""


class PostgresSite:
    """A `Site`, and the eyes of the latency part. One thread at a time. Connects when it is made; raises CdcError."""

    kinds: tuple[Kind, ...] = (Kind.SCHEMA,)

    def __init__(self, settings: PostgresSettings) -> None:
        dsn = settings.dsn.get_secret_value()
        self._session: Session = Connector(dsn, f"{PREFIX}site", "public", settings.statement_timeout)()

    def begin(self, run: Run) -> None:
        """Mark the run as alive, and make its schema. Raises CdcError."""
        with _doing(f"create the schema {run}"):
            self._lock(run)
            had_cdc = self._session.query("SELECT to_regnamespace('cdc') IS NOT NULL")[0][0]
            comment = _FOUND_CDC if had_cdc else _MADE_CDC
            self._session.query(f"CREATE SCHEMA {quote(run)}; COMMENT ON SCHEMA {quote(run)} IS '{comment}'")

    def is_alive(self, run: Run) -> bool:
        """Whether a process works on this run; this one counts, too."""
        with _doing("ask whether a bench runs"):
            held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND database = ("
            held += "SELECT oid FROM pg_database WHERE datname = current_database())"
            return bool(self._session.query(held, (_LOCK_CLASS, _number(run))))

    def visible(self, run: Run, collection: str, ids: Sequence[str]) -> list[str]:
        """Those of the ids that have a row already. Raises CdcError."""
        with _doing("look for the rows of the bench"):
            if self._session.query("SELECT to_regclass(%s) IS NULL", (qualified(run, collection),))[0][0]:
                return []
            rows = self._session.query(
                f"SELECT _id FROM {qualified(run, collection)} WHERE _id = ANY (%s)", (list(ids),)
            )
        return [row[0] for row in rows]

    def find(self, run: Run | None) -> list[Thing]:
        with _doing("look for schemas of benches"):
            rows = self._session.query(_RUNS)
            if self._session.query("SELECT to_regclass('cdc.offsets') IS NOT NULL")[0][0]:
                rows += self._session.query(_RUNS_IN_CDC)
        runs = [owner for (name,) in rows if (owner := Run.of(name)) is not None]
        return found(Kind.SCHEMA, list(runs), run)

    def remove(self, thing: Thing) -> None:
        run = thing.run
        with _doing(f"drop the schema {run}"):
            made_cdc = self._comment(run) == _MADE_CDC
            if self._has_cdc():
                self._forget(run)
            self._session.query(f"DROP SCHEMA IF EXISTS {quote(run)} CASCADE")
            if made_cdc:
                self._drop_empty_cdc()

    def close(self) -> None:
        self._session.close()

    def _lock(self, run: Run) -> None:
        """Nobody else can have it; `--clean` asks for it."""
        if self._session.query("SELECT pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, _number(run))) != [(True,)]:
            raise TryLater(f"another process works on {run}")

    def _comment(self, run: Run) -> str | None:
        sql = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
        rows = self._session.query(sql, (str(run),))
        return rows[0][0] if rows else None

    def _has_cdc(self) -> bool:
        return bool(self._session.query("SELECT to_regclass('cdc.offsets') IS NOT NULL")[0][0])

    def _forget(self, run: Run) -> None:
        """Our rows in the tables that all pipelines of this database share."""
        tables = "SELECT id FROM cdc.tables WHERE schema_name = %s"
        self._session.query(f"DELETE FROM cdc.tombstones WHERE table_id IN ({tables})", (str(run),))
        self._session.query("DELETE FROM cdc.tables WHERE schema_name = %s", (str(run),))
        self._session.query("DELETE FROM cdc.offsets WHERE group_id = ANY (%s)", (list(run.groups),))

    def _drop_empty_cdc(self) -> None:
        """The run had to make the schema `cdc`: it goes as well, unless somebody uses it by now."""
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE "
        if self._session.query(rf"{sql} 'cdc:%' AND application_name NOT LIKE 'cdc:cdc\_bench\_%'")[0][0]:
            return
        try:
            self._session.query(f"BEGIN; SELECT pg_advisory_xact_lock({LockClass.SCHEMA:d}, 0)")
            names = self._session.query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'cdc'")
            kept = [name for (name,) in names if name != "version"]
            used = [f"EXISTS (SELECT 1 FROM {qualified('cdc', name)})" for name in kept]
            if not self._session.query(f"SELECT {' OR '.join(['false', *used])}")[0][0]:
                self._session.query("DROP SCHEMA IF EXISTS cdc CASCADE")
            self._session.query("COMMIT")
        except psycopg2.Error:
            self._session.query("ROLLBACK")
            raise


def _number(run: Run) -> int:
    """A run as the second number of its lock."""
    return int.from_bytes(hashlib.sha256(run.encode()).digest()[:4]) >> 1


@contextlib.contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        raise translate(error, f"{what} in PostgreSQL") from error
