"""`${VAR}` and `${VAR:-default}` in one scalar. Pure; run after YAML is parsed, so a value is never YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_REFERENCE = re.compile(
    r"\$(?:(?P<escape>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\{))"
)


class Expanded(NamedTuple):
    """The text with every known variable replaced; `unset` are those without a value, left as they stand."""

    text: str
    unset: tuple[str, ...]
    has_reference: bool
    is_malformed: bool


def expand(text: str, environment: Mapping[str, str]) -> Expanded:
    """Replace references once, values are not expanded again. `$$` is a dollar sign; a lone `$` stays.

    As in a shell, `:-default` also stands in for a variable that is set but empty.
    """
    unset: list[str] = []

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["escape"]:
            return "$"
        if name is None:
            return match[0]
        if environment.get(name) or (name in environment and default is None):
            return environment[name]
        if default is None:
            unset.append(name)
            return match[0]
        return str(default)

    matches = list(_REFERENCE.finditer(text))
    expanded = _REFERENCE.sub(value, text) if matches else text
    return Expanded(
        expanded,
        tuple(dict.fromkeys(unset)),
        has_reference=any(match["name"] for match in matches),
        is_malformed=any(match["bad"] for match in matches),
    )
