"""Extended JSON -> BSON values: the exact inverse of the encoders, strict about wrappers.

An object whose first key starts with `$` is a wrapper and must be one that is known and well formed: a record
that says otherwise was not written by this program, and guessing would merge values that differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from bson.errors import BSONError

from cdc_cli.envelope.members import malformed
from cdc_cli.envelope.unwrap import UNWRAP

_CARRIERS: Final = frozenset({"$code", "$ref"})
"""Wrappers that hold values of the user's, to be parsed in turn."""


def parse_document(data: bytes) -> Any:
    """Any JSON value of an envelope (a document, an `_id`) as decoded BSON; about 30 us for a small document.

    Doubles that JSON cannot say come back as plain floats. Integers are `int`, whatever their width. Raises
    PoisonEvent `envelope.malformed`.
    """
    value = parse_plain(data)
    try:
        return _revive(value)
    except RecursionError as exc:
        raise malformed("it is nested too deeply") from exc
    except (ValueError, TypeError, KeyError, OverflowError, ArithmeticError, BSONError) as exc:
        raise malformed(f"not Extended JSON ({type(exc).__name__})") from exc


def parse_plain(data: bytes) -> Any:
    """Strict JSON as Python has it, wrappers untouched; unlike orjson it keeps integers of any size.

    Raises PoisonEvent `envelope.malformed`, also for numbers beyond a double.
    """
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse, parse_float=_double)
    except RecursionError as exc:
        raise malformed("it is nested too deeply") from exc
    except ValueError as exc:
        raise malformed(f"not JSON ({type(exc).__name__})") from exc


def _refuse(literal: str) -> NoReturn:
    raise ValueError(literal)


def _double(text: str) -> float:
    value = float(text)
    if value - value != 0.0:
        raise ValueError("beyond a double")
    return value


def _revive(value: Any) -> Any:
    if isinstance(value, dict):
        first = next(iter(value), "")
        return _unwrap(first, value) if first.startswith("$") else _fields(value)
    if isinstance(value, list):
        return [_revive(item) for item in value]
    return value


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _revive(item) for name, item in value.items()}


def _unwrap(first: str, wrapper: dict[str, Any]) -> Any:
    if first == "$escaped":
        inner = wrapper["$escaped"]
        if len(wrapper) != 1 or not isinstance(inner, dict):
            raise malformed("a $escaped object of another shape")
        return _fields(inner)
    unwrap = UNWRAP.get(first)
    if unwrap is None:
        raise malformed("an object whose first key starts with $ and that is not a known Extended JSON type")
    return unwrap(_fields(wrapper) if first in _CARRIERS else wrapper)
