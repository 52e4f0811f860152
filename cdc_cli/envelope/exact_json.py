"""The slow, exact encoder: every BSON value to Extended JSON, whatever orjson makes of it.

It serves what the fast way cannot: text with lone surrogates, documents that need `$escaped`, nesting beyond
orjson's limit, and (with `canonical`) the form of an `_id` that is the same for equal `_id`s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from bson import Decimal128

from cdc_cli.envelope.bson_values import SpecialDouble, box_double
from cdc_cli.envelope.numbers import canonical_number
from cdc_cli.envelope.wrappers import CARRIERS, WRAPPERS, Wrapper
from cdc_cli.errors import PoisonEvent


def exact_json(value: Any, canonical: bool = False) -> bytes:
    """Compact Extended JSON of a decoded BSON value; `canonical` unifies equal numbers.

    About 40 us for a small document. Raises PoisonEvent for a type that BSON does not have, and for nesting
    that Python cannot follow (about 300 levels; MongoDB takes 180).
    """
    writer = _Writer(canonical)
    try:
        writer.value(value)
    except RecursionError as exc:
        raise PoisonEvent("cannot encode a document: it is nested too deeply", code="value.too_deep") from exc
    return b"".join(writer.out)


def exact_string(text: str) -> bytes:
    """A JSON string; lone surrogates, which UTF-8 cannot hold, become `\\udXXX` escapes."""
    try:
        return orjson.dumps(text)
    except TypeError:
        return json.dumps(text).encode("ascii")


class _Writer:
    def __init__(self, canonical: bool) -> None:
        self.out: list[bytes] = []
        self._canonical = canonical

    def value(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self._document(value)
        elif (wrap := WRAPPERS.get(type(value))) is not None:
            self._wrapped(value, wrap(value))
        elif isinstance(value, list | tuple):
            self._array(value)
        else:
            self.out.append(self._scalar(value))

    def _scalar(self, value: Any) -> bytes:
        if isinstance(value, str):
            return exact_string(value)
        if value is None or isinstance(value, bool):
            return orjson.dumps(value)
        if isinstance(value, int | float):
            return self._number(value)
        raise PoisonEvent(
            f"cannot encode a value of type {type(value).__name__}: BSON has no such type",
            code="value.unknown",
        )

    def _number(self, value: int | float) -> bytes:
        if self._canonical:
            return canonical_number(value)
        if isinstance(value, int):
            return b"%d" % value
        boxed = box_double(value)
        if isinstance(boxed, SpecialDouble):
            return orjson.dumps({"$numberDouble": boxed.name})
        return orjson.dumps(value)

    def _document(self, value: Mapping[str, Any]) -> None:
        escaped = next(iter(value), "").startswith("$")
        if escaped:
            self.out.append(b'{"$escaped":')
        self._members(value, self.value)
        if escaped:
            self.out.append(b"}")

    def _wrapped(self, value: Any, wrapper: Wrapper) -> None:
        if self._canonical and isinstance(value, Decimal128 | SpecialDouble):
            self.out.append(canonical_number(value))
        elif type(value) in CARRIERS:
            self._members(wrapper, self.value)
        else:
            self._plain(wrapper)

    def _plain(self, wrapper: Any) -> None:
        """What a wrapper consists of is ours: written as it is, nothing to escape."""
        if isinstance(wrapper, dict):
            self._members(wrapper, self._plain)
        else:
            self.value(wrapper)

    def _members(self, value: Mapping[str, Any], write: Callable[[Any], None]) -> None:
        out = self.out
        separator = b"{"
        for name, item in value.items():
            if not isinstance(name, str):
                raise PoisonEvent("cannot encode a field name that is not text", code="value.unknown")
            out.append(separator + exact_string(name) + b":")
            write(item)
            separator = b","
        out.append(b"}" if value else b"{}")

    def _array(self, value: list[Any] | tuple[Any, ...]) -> None:
        out = self.out
        separator = b"["
        for item in value:
            out.append(separator)
            self.value(item)
            separator = b","
        out.append(b"]" if value else b"[]")
