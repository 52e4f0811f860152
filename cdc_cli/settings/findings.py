"""What the loader reports: where a value came from, what is wrong with it, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from cdc_cli.errors import ConfigError

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was given. `line` and `column` count from 1; `name` is a variable or an option."""

    kind: Literal["default", "file", "environment", "option"]
    name: str = ""
    line: int | None = None
    column: int | None = None

    @property
    def text(self) -> str:
        """`default`, `cdc.yaml:3`, `env CDC_SYNCER__WORKERS`, `--set syncer.workers`."""
        if self.kind == "file":
            return f"{self.name}:{self.line}" if self.line else self.name
        return f"env {self.name}" if self.kind == "environment" else self.name or self.kind


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake, or one thing that will work but probably is not meant. Never holds a secret.

    `code` is stable and for machines (`config.unknown_key`); `path` is dotted (`syncer.batch.max_rows`).
    """

    severity: Severity
    code: str
    path: str
    message: str
    suggestion: str = ""
    origin: Origin = DEFAULT

    @property
    def place(self) -> str:
        """`cdc.yaml:4:3` for a file, else the variable or option; empty when there is no such place."""
        if self.origin.kind == "file":
            numbers = [str(n) for n in (self.origin.line, self.origin.column) if n is not None]
            return ":".join([self.origin.name, *numbers])
        return "" if self.origin.kind == "default" else self.origin.text

    @property
    def text(self) -> str:
        """One line: place, severity[code], path, reason, suggestion."""
        head = "  ".join(filter(None, [self.place, f"{self.severity}[{self.code}]", self.path]))
        return f"{head}  {self.message}" + (f"; {self.suggestion}" if self.suggestion else "")

    def as_json(self) -> dict[str, str | int | None]:
        """The fields of an error in the JSON envelope."""
        in_file = self.origin.kind == "file"
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "suggestion": self.suggestion or None,
            "config_path": self.path or None,
            "file": self.origin.name if in_file else None,
            "line": self.origin.line,
            "column": self.origin.column,
            "origin": self.origin.text,
        }


class InvalidConfig(ConfigError):
    """The configuration has at least one error; `findings` holds all of them, and the warnings."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [finding for finding in findings if finding.severity == "error"]
        listing = "\n".join(finding.text for finding in errors)
        noun = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        hint = "`cdc config validate` checks a file without starting anything"
        super().__init__(f"the configuration has {noun}:\n{listing}", hint, errors[0].code)


def printable(text: str, longest: int = 60) -> str:
    """A name from outside, safe to print: escapes instead of control characters, and cut."""
    clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:longest])
    return clean + ("…" if len(text) > longest else "")


def closest(word: str, known: Collection[str]) -> str:
    """The known word that is meant in all likelihood, or nothing."""
    return "".join(difflib.get_close_matches(word.lower()[:100], list(known), n=1, cutoff=0.6))


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`did you mean "database"?`, or nothing when no known word is near."""
    near = closest(word, known)
    return f'did you mean "{near}"?' if near else ""


def one_of(words: Collection[str]) -> str:
    """`one of a, b, c`."""
    return f"one of {', '.join(words)}" if len(words) > 1 else "".join(words)
