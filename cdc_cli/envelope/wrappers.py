"""The Extended JSON wrapper of every BSON type that JSON has no word for.

`WRAPPERS` maps the exact Python type to a function that gives the wrapper as a dict whose first key starts
with `$`. Both encoders use it, so they cannot disagree. One call makes exactly one such dict (nested ones
come from nested values): the fast encoder counts on it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp

from cdc_cli.envelope.bson_values import BoxedCode, SpecialDouble

Wrapper = dict[str, Any]

FIRST_MS: Final = -62_135_596_800_000
LAST_MS: Final = 253_402_300_799_999
"""0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: dates between them travel as ISO 8601."""

_REGEX_FLAGS: Final = ((2, "i"), (4, "l"), (8, "m"), (16, "s"), (32, "u"), (64, "x"))


class LongText:
    """A 64-bit integer that has to travel as text: a date outside the years 1-9999, in milliseconds."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


def _date(value: datetime) -> Wrapper:
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return {"$date": value.isoformat("T", "milliseconds") + "Z"}


def _date_ms(value: DatetimeMS) -> Wrapper:
    ms = int(value)
    if FIRST_MS <= ms <= LAST_MS:
        return _date(value.as_datetime())
    return {"$date": LongText(ms)}


def _binary(data: bytes, subtype: int = 0) -> Wrapper:
    return {"$binary": {"base64": b64encode(data).decode("ascii"), "subType": f"{subtype:02x}"}}


def regex_options(flags: int) -> str:
    """BSON's letters, in alphabetical order, for the driver's flags."""
    return "".join(letter for bit, letter in _REGEX_FLAGS if flags & bit)


def _regex(value: Regex[Any]) -> Wrapper:
    pattern = value.pattern if isinstance(value.pattern, str) else value.pattern.decode("utf-8")
    return {"$regularExpression": {"pattern": pattern, "options": regex_options(value.flags)}}


def _code(value: Code) -> Wrapper:
    if value.scope is None:
        return {"$code": str(value)}
    return {"$code": str(value), "$scope": value.scope}


def _dbref(value: DBRef) -> Wrapper:
    return dict(value.as_doc())


WRAPPERS: Final[Mapping[type, Callable[[Any], Wrapper]]] = {
    ObjectId: lambda value: {"$oid": value.binary.hex()},
    datetime: _date,
    DatetimeMS: _date_ms,
    LongText: lambda value: {"$numberLong": str(value.value)},
    SpecialDouble: lambda value: {"$numberDouble": value.name},
    Decimal128: lambda value: {"$numberDecimal": str(value)},
    Binary: lambda value: _binary(value, value.subtype),
    bytes: _binary,
    Timestamp: lambda value: {"$timestamp": {"t": value.time, "i": value.inc}},
    Regex: _regex,
    BoxedCode: lambda value: _code(value.code),
    Code: _code,
    MinKey: lambda value: {"$minKey": 1},
    MaxKey: lambda value: {"$maxKey": 1},
    DBRef: _dbref,
}

CARRIERS: Final[frozenset[type]] = frozenset({BoxedCode, Code, DBRef})
"""The types whose wrappers hold values of the user's, which may need escaping in turn."""
