"""The members of a JSON object with each value's own bytes: nothing is lost by parsing and printing."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from cdc_cli.errors import PoisonEvent


def _refuse(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


# Numbers stay text here: only their bounds matter, and Python refuses integers of more than 4300 digits.
_SCANNER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)
_SPACES: Final = (" ", "\t", "\n", "\r")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


class Members:
    """Typed access to what was found; accessors raise PoisonEvent `envelope.malformed` on a wrong type."""

    def __init__(self, found: dict[str, tuple[Any, str]]) -> None:
        self._found = found

    def raw(self, name: str) -> bytes:
        """The value's own bytes; the member must be there."""
        return self._get(name)[1].encode("utf-8")

    def integer(self, name: str) -> int:
        text = self._get(name)[1]
        if not _INTEGER.fullmatch(text):
            raise malformed(f"its member {name!r} is not an integer")
        return int(text)

    def string(self, name: str) -> str:
        value, text = self._get(name)
        if not text.startswith('"'):
            raise malformed(f"its member {name!r} is not a string")
        return str(value)

    def boolean(self, name: str) -> bool:
        """False when the member is absent."""
        text = self._found.get(name, (None, "false"))[1]
        if text not in ("true", "false"):
            raise malformed(f"its member {name!r} is neither true nor false")
        return text == "true"

    def optional_object(self, name: str) -> bytes | None:
        """The object's own bytes; None when the member is absent or null."""
        text = self._found.get(name, (None, "null"))[1]
        if text == "null":
            return None
        if not text.startswith("{"):
            raise malformed(f"its member {name!r} is not an object")
        return text.encode("utf-8")

    def _get(self, name: str) -> tuple[Any, str]:
        if name not in self._found:
            raise malformed(f"it has no member {name!r}")
        return self._found[name]


def malformed(reason: str) -> PoisonEvent:
    return PoisonEvent(f"cannot read a record: {reason}", code="envelope.malformed")


def top_level_members(value: bytes) -> Members:
    """Parse one JSON object and nothing else; raises PoisonEvent `envelope.malformed` on any garbage."""
    try:
        return Members(_walk(value.decode("utf-8")))
    except (ValueError, IndexError) as exc:
        raise malformed("it is not a JSON object") from exc
    except RecursionError as exc:
        raise malformed("it is nested too deeply") from exc


def _walk(text: str) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    at = _after(text, 0, "{")
    while text[at] == '"':
        name, at = _SCANNER.raw_decode(text, at)
        start = _after(text, at, ":")
        value, at = _SCANNER.raw_decode(text, start)
        if name in found:
            raise ValueError("the same member twice")
        found[name] = (value, text[start:at])
        at = _skip_space(text, at)
        if text[at] == "}":
            break
        at = _after(text, at, ",")
    if text[at] != "}" or _skip_space(text, at + 1) != len(text):
        raise ValueError("not one object")
    return found


def _after(text: str, at: int, token: str) -> int:
    """The index after white space, `token`, and white space again."""
    at = _skip_space(text, at)
    if text[at] != token:
        raise ValueError(f"expected {token}")
    return _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACES:
        at += 1
    return at
