"""From each Extended JSON wrapper to its BSON value: the inverse of `wrappers.py`.

Also the wrappers of canonical Extended JSON that this program never writes ($numberInt, $numberLong, $uuid,
$symbol, $undefined), for other producers.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

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

from cdc_cli.envelope.members import malformed

_ISO_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z", re.ASCII)
_LONG: Final = re.compile(r"-?[0-9]{1,19}")
# Python's own parsers also take spaces, underscores and other scripts' digits.
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|Infinity|NaN)")
_HEX_BYTE: Final = re.compile(r"[0-9a-f]{1,2}")
_DOUBLES: Final = {"NaN", "Infinity", "-Infinity"}


def _only(wrapper: dict[str, Any], *names: str) -> tuple[Any, ...]:
    if tuple(wrapper) != names:
        raise malformed(f"a {names[0]} object of another shape")
    return tuple(wrapper.values())


def _text(wrapper: dict[str, Any]) -> str:
    (text,) = _only(wrapper, next(iter(wrapper)))
    return _str(text)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return value


def _int(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("expected an integer")
    return value


def _long(wrapper: dict[str, Any]) -> Int64:
    text = _text(wrapper)
    value = int(text) if _LONG.fullmatch(text) else 2**63
    if not -(2**63) <= value < 2**63:
        raise ValueError("more than 64 bits")
    return Int64(value)


def _date(wrapper: dict[str, Any]) -> datetime | DatetimeMS:
    (date,) = _only(wrapper, "$date")
    if isinstance(date, dict):
        return DatetimeMS(int(_long(date)))
    if not _ISO_DATE.fullmatch(_str(date)):
        raise ValueError("expected an ISO 8601 date")
    return datetime.fromisoformat(date[:-1])


def _number(wrapper: dict[str, Any]) -> str:
    text = _text(wrapper)
    if not _NUMBER.fullmatch(text):
        raise ValueError("expected a number")
    return text


def _double(wrapper: dict[str, Any]) -> float:
    text = _number(wrapper)
    value = float(text)
    if value - value != 0.0 and text not in _DOUBLES:
        raise ValueError("beyond a double")
    return value


def _binary(wrapper: dict[str, Any]) -> bytes:
    (inner,) = _only(wrapper, "$binary")
    data, subtype = b64decode(_str(inner["base64"]), validate=True), _str(inner["subType"])
    if len(inner) != 2 or not _HEX_BYTE.fullmatch(subtype):
        raise ValueError("a $binary object of another shape")
    return Binary(data, int(subtype, 16)) if int(subtype, 16) else data


def _timestamp(wrapper: dict[str, Any]) -> Timestamp:
    (inner,) = _only(wrapper, "$timestamp")
    return Timestamp(*map(_int, _only(inner, "t", "i")))


def _regex(wrapper: dict[str, Any]) -> Regex[str]:
    (inner,) = _only(wrapper, "$regularExpression")
    pattern, options = _only(inner, "pattern", "options")
    return Regex(_str(pattern), _str(options))


def _code(wrapper: dict[str, Any]) -> Code:
    if len(wrapper) == 1:
        return Code(_text(wrapper))
    code, scope = _only(wrapper, "$code", "$scope")
    if not isinstance(scope, Mapping):
        raise TypeError("a $scope that is not an object")
    return Code(_str(code), scope)


def _dbref(wrapper: dict[str, Any]) -> DBRef:
    rest = dict(wrapper)
    collection, id_ = _str(rest.pop("$ref")), rest.pop("$id")
    database = _str(rest.pop("$db")) if "$db" in rest else None
    return DBRef(collection, id_, database, rest)


def _marker(kind: Callable[[], Any]) -> Callable[[dict[str, Any]], Any]:
    def unwrap(wrapper: dict[str, Any]) -> Any:
        (one,) = _only(wrapper, next(iter(wrapper)))
        if _int(one) != 1:
            raise ValueError("expected 1")
        return kind()

    return unwrap


UNWRAP: Final[Mapping[str, Callable[[dict[str, Any]], Any]]] = {
    "$oid": lambda wrapper: ObjectId(_text(wrapper)),
    "$date": _date,
    "$numberDouble": _double,
    "$numberDecimal": lambda wrapper: Decimal128(_number(wrapper)),
    "$numberInt": _long,
    "$numberLong": _long,
    "$binary": _binary,
    "$uuid": lambda wrapper: Binary(UUID(_text(wrapper)).bytes, 4),
    "$timestamp": _timestamp,
    "$regularExpression": _regex,
    "$code": _code,
    "$symbol": _text,
    "$undefined": lambda wrapper: None,
    "$minKey": _marker(MinKey),
    "$maxKey": _marker(MaxKey),
    "$ref": _dbref,
}
"""By the wrapper's first key; they raise PoisonEvent, ValueError, TypeError, KeyError, or bson's errors."""
