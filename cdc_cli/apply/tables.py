"""Which table a collection is written to: made when missing, checked when it is there, refused when taken.

Each table is registered with its collection in `cdc.tables`, so that two collections can never share one by
accident of naming.
"""

from __future__ import annotations

import threading

import psycopg2

from cdc_cli.apply import layout
from cdc_cli.apply.names import LockClass, qualified, quote, table_name
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.session import Session
from cdc_cli.apply.sqlstate import translate
from cdc_cli.apply.statements import Target
from cdc_cli.errors import CdcError, ConfigError, Denied


class TargetTables:
    """Resolves namespaces to tables. Safe to call from many threads; the answer is remembered."""

    def __init__(self, pool: ConnectionPool[Session], schema: str, database: str | None, soft: bool) -> None:
        self._pool = pool
        self._schema = schema
        self._database = database
        self._soft = soft
        self._known: dict[str, Target] = {}
        self.generation = 0
        self._lock = threading.Lock()

    def resolve(self, namespace: str) -> Target:
        """The table of `database.collection`. The first time it takes a connection, and may create the table.

        Raises Retryable, Denied, ConfigError (with the DDL to run when an existing table does not fit).
        """
        target = self._known.get(namespace)
        if target is None:
            with self._lock:
                known = self._known
                target = known.get(namespace) or self._find(namespace)
                known[namespace] = target
        return target

    def forget(self, namespace: str) -> None:
        """Look the table up again next time: it was dropped or changed."""
        self._known.pop(namespace, None)

    def forget_all(self) -> None:
        """The database may be another one: tables may be gone, and have other numbers. Begins a new `generation`."""
        self.generation += 1
        self._known = {}

    def _find(self, namespace: str) -> Target:
        name = table_name(namespace, self._database)
        doing = f"prepare the table {qualified(self._schema, name)} for {namespace}"
        with self._pool.session() as session:
            try:
                found = self._registered(session, namespace, name)
                shape = layout.read(session, self._schema, name) if found is not None else None
                if found is None or shape is None:
                    found, shape = self._create(session, namespace, name)
            except psycopg2.Error as error:
                raise self._explained(translate(error, doing), name) from error
        shape.check(self._soft)
        soft = "cdc_deleted_at" in shape.columns
        return Target(found, namespace, self._schema, name, shape.partitioned, soft)

    def _registered(self, session: Session, namespace: str, name: str) -> int | None:
        """The number of the table; raises ConfigError when it belongs to another collection."""
        rows = session.query(
            "SELECT id, namespace FROM cdc.tables WHERE schema_name = %s AND table_name = %s",
            (self._schema, name),
        )
        if rows and rows[0][1] != namespace:
            raise ConfigError(
                f"the table {qualified(self._schema, name)} belongs to {rows[0][1]}, not to {namespace}",
                "give each pipeline a postgres.schema of its own, or set mongodb.database to null",
                "postgres.table_taken",
            )
        return int(rows[0][0]) if rows else None

    def _create(self, session: Session, namespace: str, name: str) -> tuple[int, layout.Layout]:
        session.query(f"BEGIN; SELECT pg_advisory_xact_lock({LockClass.SCHEMA:d}, 1)")
        found = self._registered(session, namespace, name)
        shape = layout.read(session, self._schema, name)
        if shape is None:
            self._create_schema(session)
            session.query(layout.create(self._schema, name, self._soft))
            shape = layout.read(session, self._schema, name)
            assert shape is not None
        if found is None:
            rows = session.query(
                "INSERT INTO cdc.tables (namespace, schema_name, table_name) VALUES (%s, %s, %s) "
                "RETURNING id",
                (namespace, self._schema, name),
            )
            found = int(rows[0][0])
        shape.check(self._soft)
        session.commit()
        return found, shape

    def _create_schema(self, session: Session) -> None:
        if not session.query("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self._schema,)):
            session.query(f"CREATE SCHEMA {quote(self._schema)}")

    def _explained(self, error: CdcError, name: str) -> CdcError:
        if isinstance(error, Denied):
            ddl = layout.create(self._schema, name, self._soft)
            return Denied(error.message, f"{error.hint}; or make the table yourself: {ddl}", error.code)
        return error
