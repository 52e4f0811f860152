"""Durations (`500ms 10s 5m 2h 7d`) and sizes (`512KiB 16MiB`) as they are written in cdc.yaml.

In the program a duration is a float of seconds and a size an int of bytes; the text form exists only here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
}
_DURATION = re.compile(r"^\s*(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)\s*$")
_SIZE = re.compile(r"^\s*(\d{1,12}(?:\.\d{1,9})?)\s*(B|KiB|MiB|GiB|kB|KB|MB|GB)\s*$")


def parse_duration(value: Any) -> float:
    """Seconds from `500ms`, `10s`, `5m`, `2h`, `7d`; a bare number but 0 is refused: its unit is a guess."""
    if isinstance(value, str) and (match := _DURATION.match(value)):
        return float(match[1]) * _SECONDS[match[2]]
    if not isinstance(value, bool) and isinstance(value, int | float) and value == 0:
        return 0.0
    raise ValueError("expected a duration with a unit, such as 500ms, 10s, 5m, 2h or 7d")


def parse_size(value: Any) -> int:
    """Bytes from `512KiB`, `16MiB`, `1GB`; a bare number other than 0 is refused."""
    if isinstance(value, str) and (match := _SIZE.match(value)):
        return int(float(match[1]) * _BYTES[match[2]])
    if not isinstance(value, bool) and isinstance(value, int) and value == 0:
        return 0
    raise ValueError("expected a size with a unit, such as 512KiB, 16MiB or 1GiB")


def format_duration(seconds: float) -> str:
    """The shortest exact spelling: 0.5 -> `500ms`, 7200 -> `2h`."""
    millis = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis and millis % size == 0:
            return f"{millis // size}{unit}"
    return f"{millis}ms"


def format_size(size: int) -> str:
    """The shortest exact spelling: 16777216 -> `16MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


_DURATION_SCHEMA = {"type": "string", "pattern": _DURATION.pattern, "examples": ["500ms", "10s", "2h", "7d"]}
_SIZE_SCHEMA = {"type": "string", "pattern": _SIZE.pattern, "examples": ["512KiB", "16MiB"]}

Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds."""
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes."""
