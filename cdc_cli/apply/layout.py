"""What a target table looks like: the DDL of ours, and whether one that exists will do.

Columns beside ours are welcome as long as they take care of themselves (nullable or with a default).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cdc_cli.apply.names import qualified, quote
from cdc_cli.apply.session import Session
from cdc_cli.errors import ConfigError

_COLUMNS: dict[str, str] = {
    "_id": 'text COLLATE "C"',
    "_id_type": 'text COLLATE "C"',
    "document": "jsonb",
    "cdc_position": 'text COLLATE "C"',
    "cdc_time": "timestamp with time zone",
}
_SOFT: dict[str, str] = {"cdc_deleted_at": "timestamp with time zone"}

_READ_TABLE = """\
SELECT c.oid, c.relkind, c.relpersistence FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relname = %s"""
_READ_COLUMNS = """\
SELECT a.attname, format_type(a.atttypid, a.atttypmod),
       CASE co.collname WHEN 'default'
            THEN (SELECT datcollate FROM pg_database WHERE datname = current_database()) ELSE co.collname END,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
  FROM pg_attribute a LEFT JOIN pg_collation co ON co.oid = a.attcollation
 WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_READ_KEY = """\
SELECT count(*) FROM pg_index i
 WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
   AND i.indexprs IS NULL AND i.indnkeyatts = 2
   AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
         WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:1])) = ARRAY['_id', '_id_type']"""


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as the catalog describes it; `columns` maps a name to its type as we would write it."""

    name: str
    kind: str
    persistence: str
    has_key: bool
    columns: dict[str, str]
    demanding: frozenset[str] = field(default=frozenset())

    @property
    def partitioned(self) -> bool:
        return self.kind == "p"

    def check(self, soft: bool) -> None:
        """Raise ConfigError, with the DDL that mends it, unless we can write to this table (R8.3)."""
        if self.kind not in "rp":
            raise self._unfit("is not a table", f"RENAME TO {quote('other_name')}")
        if self.persistence != "p":
            raise self._unfit("is not crash-safe", "SET LOGGED")
        for column, wanted in _wanted(soft).items():
            self._check_column(column, wanted)
        if not self.has_key:
            raise self._unfit("has no unique key over _id and _id_type", "ADD PRIMARY KEY (_id, _id_type)")
        others = sorted(self.demanding - set(_wanted(soft)))
        if others:
            fix = ", ".join(f'ALTER COLUMN "{column}" DROP NOT NULL' for column in others)
            raise self._unfit(f"wants a value for {', '.join(others)}, which we do not have", fix)

    def _check_column(self, column: str, wanted: str) -> None:
        found = self.columns.get(column)
        if found is None:
            raise self._unfit(f"has no column {column}", f"ADD COLUMN {column} {wanted}")
        if found != wanted:
            raise self._unfit(
                f"has {column} {found} where {wanted} is needed", f"ALTER COLUMN {column} TYPE {wanted}"
            )

    def _unfit(self, why: str, fix: str) -> ConfigError:
        hint = f"ALTER TABLE {self.name} {fix}"
        return ConfigError(f"the existing table {self.name} {why}", hint, "postgres.table_unfit")


def create(schema: str, table: str, soft: bool) -> str:
    """The DDL of a target table. The fill factor leaves room on each page, so that updates stay on it."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _wanted(soft).items())
    return (
        f"CREATE TABLE {qualified(schema, table)} ({columns}, PRIMARY KEY (_id, _id_type)) "
        "WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05)"
    )


def read(session: Session, schema: str, table: str) -> Layout | None:
    """The table as it is, None when there is none. Raises psycopg2.Error."""
    rows = session.query(_READ_TABLE, (schema, table))
    if not rows:
        return None
    oid, kind, persistence = rows[0]
    columns = session.query(_READ_COLUMNS, (oid,))
    has_key = session.query(_READ_KEY, (oid,)) != [(0,)]
    types = {name: _type(kind_, collation) for name, kind_, collation, _ in columns}
    demanding = frozenset(name for name, _, _, demands in columns if demands)
    return Layout(qualified(schema, table), kind, persistence, has_key, types, demanding)


def _type(kind: str, collation: str | None) -> str:
    if collation is None:
        return kind
    return f'{kind} COLLATE "{"C" if collation in ("C", "POSIX", "ucs_basic", "pg_c_utf8") else collation}"'


def _wanted(soft: bool) -> dict[str, str]:
    return _COLUMNS | _SOFT if soft else _COLUMNS
