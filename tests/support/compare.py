"""Whether PostgreSQL holds what MongoDB holds: every document equals its row, no row is left over.

Says in its own words what a row should be (README, Values), without any code of the product. Knows the types
that the workload writes; meets it another one, it fails.
"""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from bson import Binary, CodecOptions, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.code import Code
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS

from tests.support.rows import connection

if TYPE_CHECKING:
    from pymongo.database import Database

_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    dict, datetime_conversion=DatetimeConversion.DATETIME_AUTO, uuid_representation=UuidRepresentation.UNSPECIFIED
)
RowKey = tuple[str, str]


class Difference(NamedTuple):
    """One document or row that the other side has not, or has otherwise."""

    collection: str
    key: RowKey
    what: str
    in_mongodb: Any = None
    in_postgres: Any = None

    def __str__(self) -> str:
        return f"{self.collection} {self.key}: {self.what}: {self.in_mongodb!r:.300} != {self.in_postgres!r:.300}"


def compare(database: Database[Any], dsn: str, collections: Collection[str] = ()) -> list[Difference]:
    """All differences; the tables are those of the schema public, named like their collections."""
    with connection(dsn) as opened:
        tables = _tables(opened)
        names = collections or {*tables, *database.list_collection_names()}
        found: list[Difference] = []
        for name in sorted(names):
            rows = _rows(opened, name) if name in tables else {}
            found += _compare(name, _documents(database, name), rows)
        return found


def _compare(
    name: str, documents: Mapping[RowKey, Any], rows: Mapping[RowKey, Any]
) -> list[Difference]:
    found = [Difference(name, key, "no row", documents[key]) for key in documents.keys() - rows.keys()]
    found += [Difference(name, key, "row left over", None, rows[key]) for key in rows.keys() - documents.keys()]
    for key in documents.keys() & rows.keys():
        if documents[key] != rows[key]:
            found.append(Difference(name, key, "different", documents[key], rows[key]))
    return found


def _documents(database: Database[Any], name: str) -> dict[RowKey, Any]:
    from pymongo.read_concern import ReadConcern

    found = database.get_collection(name, codec_options=_OPTIONS, read_concern=ReadConcern("majority")).find()
    documents: dict[RowKey, Any] = {}
    for document in found:
        key = row_key(document["_id"])
        assert key not in documents, f"two documents of {name} expect the row {key}"
        documents[key] = expected(document)
    return documents


def _tables(opened: Any) -> set[str]:
    with opened.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name for (name,) in cursor.fetchall()}


def _rows(opened: Any, name: str) -> dict[RowKey, Any]:
    with opened.cursor() as cursor:
        quoted = name.replace('"', '""')
        cursor.execute(f'SELECT _id, _id_type, document::text FROM public."{quoted}"')
        return {(id_, kind): json.loads(text, parse_float=Decimal) for id_, kind, text in cursor.fetchall()}


def row_key(value: Any) -> RowKey:
    """The primary key of a document's row."""
    if isinstance(value, ObjectId):
        return str(value), "objectId"
    if isinstance(value, str):
        return value, "string"
    if isinstance(value, bool):
        return ("true" if value else "false"), "bool"
    if isinstance(value, int):
        return str(int(value)), "number"
    if isinstance(value, datetime.datetime | DatetimeMS):
        return expected(value), "date"
    if isinstance(value, Binary) and value.subtype == 4:
        return expected(value), "uuid"
    if isinstance(value, bytes):
        return expected(value), "binary"
    if isinstance(value, dict):
        plain = {name: item for name, item in value.items() if isinstance(item, str | int)}
        assert plain == value, f"this module has no words for an _id like {value!r}"
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False), "object"
    raise AssertionError(f"this module has no words for an _id like {value!r}")


def expected(value: Any) -> Any:
    """The plain JSON, numbers as int and Decimal, that jsonb should hold for a BSON value."""
    if isinstance(value, dict):
        return {_text(name): expected(item) for name, item in value.items()}
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, str) and not isinstance(value, Code):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Int64 | int):
        return int(value)
    if isinstance(value, float):
        return _double(value)
    return _other(value)


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd")


def _double(value: float) -> Any:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return Decimal(repr(value)) if value else Decimal(0)


def _other(value: Any) -> Any:
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if isinstance(value, DatetimeMS):
        raise AssertionError("dates outside the years 1 to 9999 are for the unit tests")
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat("T", "milliseconds") + "Z"
    if isinstance(value, Binary) and value.subtype == 4:
        return str(uuid.UUID(bytes=bytes(value)))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Timestamp):
        return {"t": value.time, "i": value.inc}
    if isinstance(value, Regex):
        assert not value.flags, "regular expressions with options are for the unit tests"
        return f"/{value.pattern}/"
    if isinstance(value, Code) and value.scope is None:
        return str(value)
    if isinstance(value, MinKey | MaxKey):
        return {"$minKey": 1} if isinstance(value, MinKey) else {"$maxKey": 1}
    raise AssertionError(f"this module has no words for {type(value).__name__}")
