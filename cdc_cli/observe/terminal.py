"""What a stream can show: the NO_COLOR convention, over FORCE_COLOR, over what the terminal says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO


def has_color(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether escape sequences belong there."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return bool(environment.get("FORCE_COLOR")) or stream.isatty()
