"""The SQL that writes rows, prepared once per connection and table. Pure text.

Every statement carries the guard (a row's position only grows, invariant I3) and takes its locks in key order
in the C collation: sorting here, and nowhere else, is what keeps concurrent writers free of deadlocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_cli.apply import staging
from cdc_cli.apply.names import qualified


@dataclass(frozen=True, slots=True)
class Target:
    """A table that is ready to be written to. `id` is its number in `cdc.tables`."""

    id: int
    namespace: str
    schema: str
    table: str
    partitioned: bool
    has_deleted_at: bool

    @property
    def sql(self) -> str:
        return qualified(self.schema, self.table)


_KEYS = "unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS s(_id, _id_type, position, time_ms)"
_KEY_ORDER = 's._id COLLATE "C", s._id_type COLLATE "C"'
_TIME = "to_timestamp(s.time_ms::float8 / 1000)"
_SAME_KEY = "t._id = s._id AND t._id_type = s._id_type"


def copied(target: Target) -> tuple[str, str]:
    """Name and text of the upsert from the staging table. `EXECUTE name(piece)` -> inserted, written."""
    name = f"cdc_copied_{target.id}"
    source = f"{staging.TABLE} AS s"
    return name, f"PREPARE {name}(integer) AS {_upsert(target, source, 's.piece = $1', 's.document')}"


def listed(target: Target) -> tuple[str, str]:
    """The same for a few rows, given as arrays: ids, types, positions, times, documents."""
    name = f"cdc_listed_{target.id}"
    columns = "s(_id, _id_type, position, time_ms, document)"
    source = f"unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) AS {columns}"
    types = "text[], text[], text[], bigint[], text[]"
    return name, f"PREPARE {name}({types}) AS {_upsert(target, source, 'true', 's.document::jsonb')}"


def direct(target: Target) -> str:
    """The COPY of new rows into the table itself: ids, types, positions, times, documents."""
    return f"COPY {target.sql} (_id, _id_type, cdc_position, cdc_time, document) FROM STDIN"


def has_tombstones(targets: Sequence[Target]) -> str:
    """Lock the targets and tell whether one of them has a tombstone. Fails as the upsert does (42P10) where the unique
    key was taken away, without which COPY would store documents twice; the locks keep it from being taken later.

    EXPLAIN plans, and so checks, what it does not run: an INSERT of no row would still fire triggers.
    """
    plans = "".join(
        f"EXPLAIN (COSTS OFF) INSERT INTO {target.sql} (_id, _id_type) SELECT NULL::text, NULL::text WHERE false "
        "ON CONFLICT (_id, _id_type) DO NOTHING; "
        for target in targets
    )
    numbers = ",".join(str(target.id) for target in targets)
    return f"{plans}SELECT EXISTS (SELECT FROM cdc.tombstones WHERE table_id = ANY ('{{{numbers}}}'::integer[]))"


def buried(target: Target) -> tuple[str, str]:
    """Tombstones for deleted documents, arrays: ids, types, positions, times."""
    name = f"cdc_buried_{target.id}"
    return name, (
        f"PREPARE {name}(text[], text[], text[], bigint[]) AS "
        "INSERT INTO cdc.tombstones AS d (table_id, _id, _id_type, position, deleted_at) "
        f"SELECT {target.id}, s._id, s._id_type, s.position, now() FROM {_KEYS} ORDER BY {_KEY_ORDER} "
        "ON CONFLICT (table_id, _id, _id_type) DO UPDATE "
        "SET position = excluded.position, deleted_at = excluded.deleted_at "
        "WHERE d.position < excluded.position"
    )


def locked(target: Target) -> tuple[str, str]:
    """Lock the rows to be deleted, in key order, which DELETE and UPDATE themselves do not keep.

    A statement of its own: the one that follows sees what was committed while this one waited.
    """
    name = f"cdc_locked_{target.id}"
    return name, (
        f"PREPARE {name}(text[], text[], text[], bigint[]) AS SELECT 1 FROM {_KEYS} "
        f"JOIN {target.sql} AS t ON {_SAME_KEY} ORDER BY {_KEY_ORDER} FOR UPDATE OF t"
    )


def removed(target: Target, soft: bool) -> tuple[str, str]:
    """Delete rows, or mark them, that are older than their delete; the same arrays -> rows changed."""
    name = f"cdc_removed_{target.id}"
    where = f'{_SAME_KEY} AND t.cdc_position COLLATE "C" < s.position'
    if soft:
        change = (
            f"UPDATE {target.sql} AS t SET cdc_deleted_at = {_TIME}, cdc_time = {_TIME}, "
            f"cdc_position = s.position FROM {_KEYS} WHERE {where} RETURNING 1"
        )
    else:
        change = f"DELETE FROM {target.sql} AS t USING {_KEYS} WHERE {where} RETURNING 1"
    types = "text[], text[], text[], bigint[]"
    return name, f"PREPARE {name}({types}) AS WITH gone AS ({change}) SELECT count(*) FROM gone"


def fresh(target: Target) -> tuple[str, str]:
    """Which of the given changes are newer than the row and the tombstone of their document, by number from 1.

    Arrays: ids, types, positions.
    """
    name = f"cdc_fresh_{target.id}"
    row = f'(SELECT t.cdc_position COLLATE "C" FROM {target.sql} AS t WHERE {_SAME_KEY})'
    return name, (
        f"PREPARE {name}(text[], text[], text[]) AS SELECT s.number "
        "FROM unnest($1, $2, $3) WITH ORDINALITY AS s(_id, _id_type, position, number) "
        f"WHERE coalesce({row} < s.position, true) AND {_newer_than_tombstone(target)}"
    )


def _newer_than_tombstone(target: Target) -> str:
    """A scalar sub-select is one look-up in the index per row, whatever the planner believes; as NOT EXISTS it
    became a join that read all tombstones for every row, while their statistics were older than they. Tables
    without any tombstone, which one look tells for the whole statement, are spared the look-ups.
    """
    return (
        f"(NOT (SELECT EXISTS (SELECT FROM cdc.tombstones WHERE table_id = {target.id})) OR "
        f"coalesce((SELECT d.position FROM cdc.tombstones AS d WHERE d.table_id = {target.id} "
        "AND d._id = s._id AND d._id_type = s._id_type) < s.position, true))"
    )


def _upsert(target: Target, source: str, where: str, document: str) -> str:
    fresh = f"{where} AND {_newer_than_tombstone(target)}"
    revive = ", cdc_deleted_at = NULL" if target.has_deleted_at else ""
    write = (
        f"INSERT INTO {target.sql} AS t (_id, _id_type, document, cdc_position, cdc_time) "
        f"SELECT s._id, s._id_type, {document}, s.position, {_TIME} FROM {source} WHERE {fresh} "
        f"ORDER BY {_KEY_ORDER} ON CONFLICT (_id, _id_type) DO UPDATE SET document = excluded.document, "
        f"cdc_position = excluded.cdc_position, cdc_time = excluded.cdc_time{revive} "
        'WHERE t.cdc_position COLLATE "C" < excluded.cdc_position'
    )
    if not target.partitioned:
        return (
            f"WITH written AS ({write} RETURNING t.xmax = 0 AS inserted) "
            "SELECT count(*) FILTER (WHERE inserted), count(*) FROM written"
        )
    # A partitioned table has no system columns to tell an insert by (0A000): count the rows that stood there.
    older = f'(SELECT t.cdc_position COLLATE "C" FROM {target.sql} AS t WHERE {_SAME_KEY}) < s.position'
    return (
        f"WITH stood AS (SELECT 1 FROM {source} WHERE {fresh} AND {older}), written AS ({write} RETURNING 1) "
        "SELECT (SELECT count(*) FROM written) - (SELECT count(*) FROM stood), (SELECT count(*) FROM written)"
    )
