"""What a rule yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cdc_cli.settings.findings import Severity
from cdc_cli.settings.models import Settings


@dataclass(frozen=True, slots=True)
class Problem:
    """`paths` are the keys that take part, the one to correct first."""

    severity: Severity
    code: str
    paths: tuple[str, ...]
    message: str
    suggestion: str = ""


Rule = Callable[[Settings], Iterator[Problem]]


def invalid(path: str, message: str, suggestion: str = "", *others: str) -> Problem:
    """An error: this value is not possible."""
    return Problem("error", "config.invalid_value", (path, *others), message, suggestion)


def conflict(path: str, other: str, message: str, suggestion: str = "") -> Problem:
    """An error: these two values are not possible together."""
    return Problem("error", "config.conflict", (path, other), message, suggestion)


def warning(code: str, path: str, message: str, suggestion: str = "", *others: str) -> Problem:
    """It will run, but is probably not meant."""
    return Problem("warning", f"config.{code}", (path, *others), message, suggestion)
