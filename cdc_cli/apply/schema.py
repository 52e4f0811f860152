"""Our own tables in PostgreSQL: the schema `cdc`, made when it is missing.

`tables` numbers the target tables and knows which collection each belongs to; `offsets` is the ledger;
`tombstones` holds the positions of deletes, so that a replayed insert cannot raise the dead; `version` is for
migrations, which go forward only. Version 2 added Kafka's id of the topic to `offsets`.
"""

from __future__ import annotations

import psycopg2

from cdc_cli.apply.names import LockClass
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.session import Session
from cdc_cli.apply.sqlstate import translate
from cdc_cli.errors import ConfigError, Denied

VERSION = 2

_TABLES = f"""\
CREATE TABLE IF NOT EXISTS cdc.version (
  version integer PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS cdc.tables (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  UNIQUE (schema_name, table_name)
);
CREATE TABLE IF NOT EXISTS cdc.offsets (
  group_id text COLLATE "C",
  topic text COLLATE "C",
  partition integer,
  next_offset bigint,
  owner text COLLATE "C" NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  topic_id text COLLATE "C",
  PRIMARY KEY (group_id, topic, partition)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS cdc.tombstones (
  table_id integer,
  _id text COLLATE "C",
  _id_type text COLLATE "C",
  position text COLLATE "C" NOT NULL,
  deleted_at timestamptz NOT NULL,
  PRIMARY KEY (table_id, _id, _id_type)
);
INSERT INTO cdc.version (version) VALUES ({VERSION}) ON CONFLICT DO NOTHING
"""

_TO_2 = 'ALTER TABLE cdc.offsets ADD COLUMN IF NOT EXISTS topic_id text COLLATE "C"'


class CdcSchema:
    """Makes and checks the schema `cdc`."""

    def __init__(self, pool: ConnectionPool[Session]) -> None:
        self._pool = pool

    def ensure(self) -> None:
        """Create what is missing; harmless when several processes do it at once. Blocks.

        Raises Retryable, Denied (with the statement for an administrator), ConfigError (a server or a schema
        that cannot work).
        """
        with self._pool.session() as session:
            try:
                self._check_encoding(session)
                found = self._version(session)
                if found is None:
                    self._create(session)
                elif found < VERSION:
                    self._migrate(session)
                found = self._version(session)
            except psycopg2.Error as error:
                raise translate(error, "create or read the schema cdc in PostgreSQL") from error
        if found is not None and found > VERSION:
            raise ConfigError(
                f"the schema cdc in PostgreSQL has version {found}, this program knows {VERSION}",
                "upgrade this program: a newer one has been here",
                "postgres.schema_version",
            )

    @staticmethod
    def _check_encoding(session: Session) -> None:
        encoding = session.query("SHOW server_encoding")[0][0]
        if encoding != "UTF8":
            raise ConfigError(
                f"the PostgreSQL database has the encoding {encoding}, it must be UTF8 for all documents",
                "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
                "postgres.encoding",
            )

    @staticmethod
    def _version(session: Session) -> int | None:
        if session.query("SELECT to_regclass('cdc.version')") == [(None,)]:
            return None
        rows = session.query("SELECT max(version) FROM cdc.version")
        return int(rows[0][0]) if rows[0][0] is not None else None

    @staticmethod
    def _create(session: Session) -> None:
        # CREATE TABLE IF NOT EXISTS is not safe beside itself; under the lock it is.
        session.query(f"BEGIN; SELECT pg_advisory_xact_lock({LockClass.SCHEMA:d}, 0)")
        # Asked first, as IF NOT EXISTS wants rights on the database even when there is nothing to do.
        if not session.query("SELECT 1 FROM pg_namespace WHERE nspname = 'cdc'"):
            session.query("CREATE SCHEMA cdc")
        session.query(_TABLES)
        session.commit()

    @staticmethod
    def _migrate(session: Session) -> None:
        """From any older version; an administrator may have altered the table already."""
        session.query(f"BEGIN; SELECT pg_advisory_xact_lock({LockClass.SCHEMA:d}, 0)")
        has = "SELECT 1 FROM pg_attribute WHERE attrelid = 'cdc.offsets'::regclass AND attname = 'topic_id'"
        if not session.query(has):
            try:
                session.query(_TO_2)
            except psycopg2.errors.InsufficientPrivilege as error:
                raise Denied(
                    "the schema cdc in PostgreSQL is of an older version, and our role may not bring it up to date: "
                    f"{error.diag.message_primary}",
                    f"as the owner of the table: {_TO_2}",
                    "postgres.schema_version",
                ) from error
        session.query(f"INSERT INTO cdc.version (version) VALUES ({VERSION}) ON CONFLICT DO NOTHING")
        session.commit()
