"""The type of a plain YAML scalar, by rules on which YAML 1.1 and 1.2 agree. Pure.

PyYAML follows YAML 1.1: `no` is False, `0123` is 83, `12:30:45` is 45045. Readers of the file see something
else, so such words are refused instead of guessed at; times stay text.
"""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,24})$")
_FLOAT = re.compile(r"[-+]?([0-9]{1,25}\.[0-9]{0,25}|\.[0-9]{1,25})(e[-+]?[0-9]{1,3})?$", re.IGNORECASE)
_TRAPS = (
    (re.compile(r"(yes|no|on|off)$", re.IGNORECASE), "YAML reads this word as true or false"),
    (re.compile(r"[-+]?0[0-9_]+$"), "YAML reads a number with a leading 0 as octal"),
    (re.compile(r"[-+]?0[xob][0-9a-f_]+$", re.IGNORECASE), "YAML reads this as a number to base 16, 8 or 2"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$"), "YAML reads this as a number to base 60"),
    (
        re.compile(r"[-+]?\.?[0-9][0-9_.]*_[0-9_.]*(e[-+]?[0-9]+)?$", re.IGNORECASE),
        "YAML reads this as a number without the underscores",
    ),
)


def trap(text: str) -> str:
    """Why a plain scalar does not mean what it seems to; empty when it does. Never quotes the scalar."""
    return next((reason for pattern, reason in _TRAPS if pattern.match(text)), "")


def plain_value(text: str) -> str | int | float | bool | None:
    """What a plain scalar means, once `trap` has nothing against it."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text
