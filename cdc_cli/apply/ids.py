"""The row's primary key: `_id` as text a person would write, and its type.

Different `_id`s never share (id, type) and one `_id` never has two: the text is injective within its type,
and numbers that are equal are written alike whatever their BSON type, because MongoDB takes them for the
same `_id`.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)

from cdc_cli.apply.dates import iso_date
from cdc_cli.apply.natural import uuid_text
from cdc_cli.envelope.exact_json import exact_json
from cdc_cli.envelope.parse import parse_document

MAX_ID_BYTES: Final = 2000
"""PostgreSQL refuses index rows over 2,704 bytes (SQLSTATE 54000); longer ids are stored as their SHA-256."""

RowId = tuple[bytes, str]

USUAL: Final = rb'\{"\$oid":"([0-9a-f]{24})"\}|"([^"\\\x00-\x1f]{0,%d}+)"|(0|-?[1-9][0-9]{0,17})' % MAX_ID_BYTES
"""Pattern of an `_id` that is its own text, in one group for each type."""
_SIMPLE: Final = re.compile(USUAL + rb'|\{"\$binary":\{"base64":"([A-Za-z0-9+/]{22}==)","subType":"04"\}\}')
_TYPES: Final = ("objectId", "string", "number", "uuid")


def row_id(id_json: bytes) -> RowId:
    """(text, type) of an `_id` as the envelope holds it; the usual types without parsing.

    Raises PoisonEvent `envelope.malformed` when it is not Extended JSON.
    """
    match = _SIMPLE.fullmatch(id_json)
    if match is not None:
        text = match[match.lastindex or 0]
        kind = _TYPES[(match.lastindex or 0) - 1]
        return uuid_text(a2b_base64(text)).encode() if kind == "uuid" else text, kind
    return _row_id_of(parse_document(id_json))


def _row_id_of(value: Any) -> RowId:
    canonical = exact_json(value, canonical=True)
    text, kind = _FORMS.get(type(value), _as_json("object"))(value, canonical)
    if len(text) > MAX_ID_BYTES:
        # Hashed is always the JSON: the text of one kind may look like the escaped text of another.
        return sha256(canonical).hexdigest().encode(), kind.partition(":")[0] + ":sha256"
    return text, kind


_Form = Callable[[Any, bytes], RowId]


def _as_json(kind: str) -> _Form:
    return lambda value, canonical: (canonical, kind)


def _string(value: str, canonical: bytes) -> RowId:
    try:
        text = value.encode("utf-8")
    except UnicodeEncodeError:
        return canonical[1:-1], "string:escaped"
    return (canonical[1:-1], "string:escaped") if b"\0" in text else (text, "string")


def _number(value: Any, canonical: bytes) -> RowId:
    """A NumberDecimal that no double equals has a type of its own: double 0.1 is not NumberDecimal("0.1")."""
    if not canonical.startswith(b"{"):
        return canonical, "number"
    text = canonical.split(b'"')[3]
    return text, "decimal" if canonical.startswith(b'{"$numberDecimal"') else "number"


def _date(value: Any, canonical: bytes) -> RowId:
    return iso_date(value).encode(), "date"


def _binary(value: bytes, canonical: bytes) -> RowId:
    subtype = value.subtype if isinstance(value, Binary) else 0
    if subtype == 4 and len(value) == 16:
        return uuid_text(value).encode(), "uuid"
    return canonical.split(b'"')[5], f"binary:{subtype:02x}" if subtype else "binary"


def _timestamp(value: Timestamp, canonical: bytes) -> RowId:
    return b"%d:%d" % (value.time, value.inc), "timestamp"


_FORMS: Final[dict[type, _Form]] = {
    str: _string,
    bool: _as_json("bool"),
    type(None): _as_json("null"),
    int: _number,
    Int64: _number,
    float: _number,
    Decimal128: _number,
    ObjectId: lambda value, canonical: (str(value).encode(), "objectId"),
    datetime: _date,
    DatetimeMS: _date,
    bytes: _binary,
    Binary: _binary,
    Timestamp: _timestamp,
    Regex: _as_json("regex"),
    Code: _as_json("javascript"),
    MinKey: _as_json("minKey"),
    MaxKey: _as_json("maxKey"),
    DBRef: _as_json("object"),
    list: _as_json("array"),
}
