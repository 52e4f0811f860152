"""Every document against its row. On purpose without a line of the pipeline's own conversion: a check that shares
code with what it checks shares its mistakes.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from bson import Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion

from cdc_cli.demo.stages import tables

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from pymongo.database import Database

_EXAMPLES = 10

Key = tuple[str, str]
"""`_id` as text, and its type: the primary key of a row."""


class Row(NamedTuple):
    """What a table holds: the key, and the document as parsed JSON."""

    key: Key
    document: Any


@dataclass(slots=True)
class Comparison:
    """What was found. `examples` has the first few differences in words."""

    documents: int = 0
    rows: int = 0
    lost: int = 0
    extra: int = 0
    differing: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Every document has its row, with the same content, and there is no other row."""
        return self.lost == self.extra == self.differing == 0

    def add(self, documents: Iterable[Mapping[str, Any]], rows: Iterable[Row], name: str) -> None:
        """Compare one collection with its table."""
        remaining = dict(rows)
        self.rows += len(remaining)
        for document in documents:
            self.documents += 1
            key = row_key(document["_id"])
            if key not in remaining:
                self.lost += 1
                self._example(f"{name} {key[0]}: lost, there is no row")
            elif (found := difference(as_json(document), remaining.pop(key))) is not None:
                self.differing += 1
                self._example(f"{name} {key[0]}: {found}")
        self.extra += len(remaining)
        for key in remaining:
            self._example(f"{name} {key[0]}: the row has no document")

    def _example(self, text: str) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)


def compare(database: Database[dict[str, Any]], postgres: Connection) -> Comparison:
    """All collections of the database against all tables of the schema `public`. Blocks for reading them.

    Nothing may write meanwhile. Raises what the drivers raise.
    """
    options: CodecOptions[dict[str, Any]] = CodecOptions(
        uuid_representation=UuidRepresentation.STANDARD, datetime_conversion=DatetimeConversion.DATETIME
    )
    with postgres.cursor() as cursor:
        names = set(tables(cursor))
    collections = set(database.list_collection_names())
    result = Comparison()
    for name in sorted(collections | names):
        documents = database.get_collection(name, options).find() if name in collections else ()
        result.add(documents, _rows(postgres, name) if name in names else (), name)
    return result


def row_key(id_: object) -> Key:
    """The key that the row of this `_id` must have. Raises TypeError for types the demonstration has no use for."""
    if isinstance(id_, str):
        return id_, "string"
    if isinstance(id_, ObjectId):
        return str(id_), "objectId"
    if isinstance(id_, UUID):
        return str(id_), "uuid"
    if isinstance(id_, int) and not isinstance(id_, bool):
        return str(int(id_)), "number"
    raise TypeError(f"no row key for an _id of type {type(id_).__name__}")


def as_json(value: Any) -> Any:
    """The natural JSON form of a BSON value, as README describes it. Raises TypeError for what it does not know."""
    match value:
        case dict():
            return {name: as_json(item) for name, item in value.items()}
        case list():
            return [as_json(item) for item in value]
        case None | bool() | str():
            return value
        case Int64() | int():
            return int(value)
        case float():
            return value if math.isfinite(value) else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
        case ObjectId() | UUID() | Decimal128():
            return str(value)
        case datetime():
            return value.isoformat(timespec="milliseconds") + "Z"
        case bytes():
            return b64encode(value).decode()
        case Timestamp():
            return {"t": value.time, "i": value.inc}
        case Regex():
            return f"/{value.pattern}/{''.join(letter for letter, bit in _FLAGS if value.flags & bit)}"
    raise TypeError(f"no JSON form for a value of type {type(value).__name__}")


_FLAGS = (("i", 2), ("l", 4), ("m", 8), ("s", 16), ("u", 32), ("x", 64))


def difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Where and how the two first differ, in words; None when they are the same. 1, 1.0 and true are three things
    in the document, but jsonb knows one kind of number: so 1 equals 1.0, and true does not equal 1.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            names = ", ".join(sorted(expected.keys() ^ found.keys()))
            return f"{path or 'the document'} has other fields: {names}"
        pairs = ((f"{path}.{name}" if path else name, value, found[name]) for name, value in expected.items())
        return _first(pairs)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return _first((f"{path}[{n}]", *pair) for n, pair in enumerate(zip(expected, found, strict=True)))
    if _same(expected, found):
        return None
    return f"{path} is {_short(expected)} in MongoDB and {_short(found)} in PostgreSQL"


def _first(pairs: Iterable[tuple[str, Any, Any]]) -> str | None:
    return next((text for path, a, b in pairs if (text := difference(a, b, path)) is not None), None)


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, float) and isinstance(found, int | float):
        return expected == float(found)
    return type(expected) is type(found) and bool(expected == found)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _rows(postgres: Connection, table: str) -> Iterator[Row]:
    from psycopg2 import sql

    query = sql.SQL("SELECT _id, _id_type, document::text FROM public.{}").format(sql.Identifier(table))
    with postgres.cursor() as cursor:
        cursor.execute(query)
        for id_, kind, document in cursor.fetchall():
            yield Row((id_, kind), json.loads(document))
