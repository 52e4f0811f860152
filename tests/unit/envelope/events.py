"""Events as capture makes them: encoded to BSON and decoded as the reader decodes."""

from __future__ import annotations

from typing import Any

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion

from cdc_cli.envelope import decode_document
from cdc_cli.events import ChangeEvent, Operation, Position

POSITION = Position(1764046833, 2, 0)
WALL_MS = 1764046833120
_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(
    uuid_representation=UuidRepresentation.UNSPECIFIED, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def captured(value: Any) -> Any:
    """The value as it comes out of MongoDB through `codec_options`."""
    return decode_document(bson.encode({"value": value}))["value"]


def same_bson(value: Any) -> bytes:
    """BSON bytes to compare by; the width of integers is levelled, because JSON does not carry it."""
    plain = bson.decode(bson.encode({"value": value}), _PLAIN)
    return bson.encode(levelled(plain))


def levelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: levelled(item) for name, item in value.items()}
    if isinstance(value, list):
        return [levelled(item) for item in value]
    if isinstance(value, bson.DBRef):
        return bson.DBRef(value.collection, levelled(value.id), value.database, levelled(_extra(value)))
    if isinstance(value, bson.Code) and value.scope is not None:
        return bson.Code(str(value), levelled(dict(value.scope)))
    return int(value) if isinstance(value, bson.Int64) else value


def _extra(value: bson.DBRef) -> dict[str, Any]:
    return {name: item for name, item in value.as_doc().items() if name not in ("$ref", "$id", "$db")}


def event(document: Any = None, id_: Any = 1, operation: Operation = Operation.INSERT, **rest: Any) -> ChangeEvent:
    document = None if document is None else captured(document)
    return ChangeEvent(operation, "game", "players", captured(id_), POSITION, WALL_MS, document, **rest)
