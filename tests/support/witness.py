"""A witness of its own: what MongoDB's stream says, what Kafka keeps, what PostgreSQL had at the moment of a kill.

Checks the promises about positions without any code of the product: the saved token is never ahead of Kafka (I4),
offsets are never ahead of the rows (I5), and per document the log is in order and complete (I6).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from bson import Timestamp, json_util
from pymongo.database import Database

from tests.support.compare import row_key
from tests.support.rows import connection
from tests.support.topics import Kept

Place = tuple[str, int]
_OPERATIONS = ["insert", "update", "replace", "delete"]
_OFFSETS = "SELECT topic, partition, next_offset FROM cdc.offsets WHERE group_id = %s AND next_offset IS NOT NULL"
_TOMBSTONES = (
    "SELECT t.table_name, d._id, d._id_type, d.position FROM cdc.tombstones d JOIN cdc.tables t ON t.id = d.table_id"
)


class Seen(NamedTuple):
    """A change as MongoDB's stream tells it."""

    collection: str
    operation: str
    position: str


class AtWatchKill(NamedTuple):
    """What was saved and what Kafka had right after the watcher was killed."""

    position: str | None
    ends: Mapping[Place, int]


class AtSyncKill(NamedTuple):
    """What was committed, and the position of every row and tombstone at that moment."""

    committed: Mapping[Place, int]
    stored: Mapping[Place, int]
    positions: Mapping[tuple[str, str, str], str]


IN_TRANSACTIONS = frozenset({"players", "matches"})


class Witness:
    """Sees every change of the database from now on, in a thread of its own: an oplog does not keep for ever."""

    def __init__(self, database: Database[Any]) -> None:
        self._database = database
        self._seen: list[Seen] = []
        self._error: BaseException | None = None
        # A collection that a transaction makes takes one of its numbers, and the witness counts changes only.
        for name in IN_TRANSACTIONS.difference(database.list_collection_names()):
            database.create_collection(name)
        begin = database.client.admin.command("ping")["operationTime"]
        self._thread = threading.Thread(target=self._run, args=(begin,), name="witness", daemon=True)
        self._thread.start()

    def changes(self, timeout: float = 300.0) -> list[Seen]:
        """All changes up to now, in stream order, with the positions that they must have. Only once."""
        self._database["marker"].insert_one({"_id": "end"})
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), f"the witness saw {len(self._seen)} changes and no end"
        return self._seen

    def _run(self, begin: Timestamp) -> None:
        try:
            self._watch(begin)
        except BaseException as error:
            self._error = error

    def _watch(self, begin: Timestamp) -> None:
        previous, ordinal = None, 0
        with self._database.watch(
            [
                {"$match": {"operationType": {"$in": _OPERATIONS}}},
                {"$project": {"fullDocument": 0, "updateDescription": 0}},
            ],
            start_at_operation_time=begin,
            batch_size=5000,
        ) as stream:
            for change in stream:
                time = change["clusterTime"]
                ordinal = ordinal + 1 if time == previous else 0
                previous = time
                position = f"{time.time:010d}.{time.inc:010d}.{ordinal:010d}"
                self._seen.append(Seen(change["ns"]["coll"], change["operationType"], position))
                if change["ns"]["coll"] == "marker":
                    return
        raise AssertionError("the witness's stream ended")


def at_sync_kill(dsn: str, group: str, committed: Mapping[Place, int], collections: Collection[str]) -> AtSyncKill:
    """A snapshot of offsets and rows; `committed` must have been asked before."""
    positions: dict[tuple[str, str, str], str] = {}
    with connection(dsn) as opened, opened.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute(_OFFSETS, (group,))
        stored = {(topic, number): offset for topic, number, offset in cursor.fetchall()}
        cursor.execute(_TOMBSTONES)
        positions.update({(table, id_, kind): position for table, id_, kind, position in cursor.fetchall()})
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for table in {name for (name,) in cursor.fetchall()} & set(collections):
            cursor.execute(f'SELECT _id, _id_type, cdc_position FROM public."{table}"')
            positions.update({(table, id_, kind): position for id_, kind, position in cursor.fetchall()})
        cursor.execute("COMMIT")
    return AtSyncKill(committed, stored, positions)


def assert_log_is_complete_and_in_order(changes: Iterable[Seen], records: Iterable[Kept]) -> None:
    """Every change is in Kafka, nothing else is, and the first occurrences of a key's changes are in order (I6)."""
    expected = {change.position: (change.collection, change.operation) for change in changes}
    in_log: dict[str, tuple[str, str]] = {}
    last: dict[tuple[str, bytes | None], str] = {}
    swapped: list[tuple[str, str]] = []
    for record in records:
        event = record.event
        position = event["pos"]
        if position in in_log:
            continue
        in_log[position] = (event["ns"].split(".", 1)[1], event["op"])
        key = (record.topic, record.key)
        if position < last.get(key, ""):
            swapped.append((last[key], position))
        last[key] = position
    missing = sorted(expected.keys() - in_log.keys())
    assert not missing, f"{len(missing)} of {len(expected)} changes never reached Kafka: {missing[:5]}"
    invented = sorted(in_log.keys() - expected.keys())
    assert not invented, f"{len(invented)} records that are no change: {[(p, in_log[p]) for p in invented[:5]]}"
    wrong = [p for p in expected if expected[p] != in_log[p]]
    assert not wrong, f"{len(wrong)} records say otherwise: {[(p, expected[p], in_log[p]) for p in wrong[:5]]}"
    assert not swapped, f"{len(swapped)} changes stand before an earlier one of their document: {swapped[:5]}"


def assert_token_is_not_ahead(evidence: AtWatchKill, changes: Iterable[Seen], records: Iterable[Kept]) -> None:
    """Everything up to the saved position was in Kafka when the watcher died (I4)."""
    if evidence.position is None:
        return
    there = {r.event["pos"] for r in records if r.offset < evidence.ends.get((r.topic, r.partition), 0)}
    ahead = [change for change in changes if change.position <= evidence.position and change.position not in there]
    assert not ahead, f"the token at {evidence.position} was ahead of Kafka by {len(ahead)} changes: {ahead[:5]}"


def assert_offsets_are_not_ahead(evidence: AtSyncKill, records: Iterable[Kept]) -> None:
    """Everything before the stored offset was in PostgreSQL, and Kafka was never told more (I5)."""
    for place, offset in evidence.committed.items():
        stored = evidence.stored.get(place, 0)
        assert offset <= stored, f"Kafka was told {offset} of {place}, PostgreSQL only knows {stored}"
    ahead: list[Kept] = []
    for record in records:
        if record.offset >= evidence.stored.get((record.topic, record.partition), 0):
            continue
        event = record.event
        if event.get("missing"):
            continue
        id_, kind = row_key(json_util.loads(json_util.dumps({"_": _bson(event["id"])}), json_options=_OPTIONS)["_"])
        position = evidence.positions.get((event["ns"].split(".", 1)[1], id_, kind), "")
        if position < event["pos"]:
            ahead.append(record)
    assert not ahead, f"offsets were ahead of {len(ahead)} records: {ahead[:3]}"


_OPTIONS = json_util.JSONOptions(tz_aware=False, uuid_representation=0)


def _bson(extended: Any) -> Any:
    return json_util.object_hook(extended, _OPTIONS) if isinstance(extended, dict) else extended
