"""The part of JSON Schema that envelope/schema.json uses: enough to check real envelopes against it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_NOTES = {"$schema", "$id", "$defs", "title", "description"}


class Schema:
    """A schema whose keywords are all known; `valid` says whether a parsed JSON value satisfies it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

    def valid(self, value: Any) -> bool:
        return self._valid(self._root, value)

    def _valid(self, schema: dict[str, Any], value: Any) -> bool:
        return all(
            getattr(self, "_" + keyword.lstrip("$"))(schema, value) for keyword in schema if keyword not in _NOTES
        )

    def _ref(self, schema: dict[str, Any], value: Any) -> bool:
        return self._valid(self._root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value)

    def _type(self, schema: dict[str, Any], value: Any) -> bool:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        allowed = {kind for name in names for kind in _TYPES[name]}
        return type(value) in allowed

    def _const(self, schema: dict[str, Any], value: Any) -> bool:
        return type(value) is type(schema["const"]) and value == schema["const"]

    def _enum(self, schema: dict[str, Any], value: Any) -> bool:
        return value in schema["enum"]

    def _pattern(self, schema: dict[str, Any], value: Any) -> bool:
        return not isinstance(value, str) or re.search(schema["pattern"], value) is not None

    def _required(self, schema: dict[str, Any], value: Any) -> bool:
        return not isinstance(value, dict) or all(name in value for name in schema["required"])

    def _properties(self, schema: dict[str, Any], value: Any) -> bool:
        return not isinstance(value, dict) or all(
            self._valid(sub, value[name]) for name, sub in schema["properties"].items() if name in value
        )

    def _additionalProperties(self, schema: dict[str, Any], value: Any) -> bool:  # the keyword
        if not isinstance(value, dict):
            return True
        extra = [item for name, item in value.items() if name not in schema.get("properties", {})]
        rule = schema["additionalProperties"]
        return not extra if rule is False else all(self._valid(rule, item) for item in extra)

    def _propertyNames(self, schema: dict[str, Any], value: Any) -> bool:  # the keyword
        return not isinstance(value, dict) or all(self._valid(schema["propertyNames"], name) for name in value)

    def _minProperties(self, schema: dict[str, Any], value: Any) -> bool:  # the keyword
        return not isinstance(value, dict) or len(value) >= schema["minProperties"]

    def _maxProperties(self, schema: dict[str, Any], value: Any) -> bool:  # the keyword
        return not isinstance(value, dict) or len(value) <= schema["maxProperties"]

    def _items(self, schema: dict[str, Any], value: Any) -> bool:
        return not isinstance(value, list) or all(self._valid(schema["items"], item) for item in value)

    def _not(self, schema: dict[str, Any], value: Any) -> bool:
        return not self._valid(schema["not"], value)

    def _anyOf(self, schema: dict[str, Any], value: Any) -> bool:  # the keyword
        return any(self._valid(sub, value) for sub in schema["anyOf"])

    def _oneOf(self, schema: dict[str, Any], value: Any) -> bool:  # the keyword
        return sum(self._valid(sub, value) for sub in schema["oneOf"]) == 1
