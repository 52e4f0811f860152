"""What a command prints: the result on stdout, everything else on stderr.

Text is for people: aligned columns, no boxes, nothing cut, marks in words off a terminal. JSON is one
envelope per command, `{"command", "schema", "ok", "summary", "result", "error"}`; `ok` false without an error
means that the command worked and the verdict is no. `jsonl` is for streams: one object a line, no envelope.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TextIO

from cdc_cli.observe.terminal import has_color

SCHEMA = 1


class OutputFormat(StrEnum):
    """`-o`."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


class Mark(StrEnum):
    """A verdict in one sign; never by colour alone."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_GLYPHS = {Mark.OK: "✓", Mark.WARN: "⚠", Mark.FAIL: "✗"}
_COLORS = {Mark.OK: "32", Mark.WARN: "33", Mark.FAIL: "31"}


class Output:
    """The two streams of one command, and the form that was asked for."""

    def __init__(
        self,
        command: str,
        form: OutputFormat,
        stdout: TextIO,
        stderr: TextIO,
        environment: Mapping[str, str],
    ) -> None:
        self.command = command
        self.form = form
        self._stdout = stdout
        self._stderr = stderr
        self._environment = environment

    @property
    def is_text(self) -> bool:
        """Whether people read it."""
        return self.form is OutputFormat.TEXT

    @property
    def is_interactive(self) -> bool:
        """Whether there is somebody to watch a progress display or to answer a question."""
        return self.is_text and self._stdout.isatty() and self._stderr.isatty()

    def text(self, line: str = "") -> None:
        """A line of the result for people; nothing in the JSON forms."""
        if self.is_text:
            _put(self._stdout, line)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Aligned columns for people; numbers to the right."""
        if self.is_text:
            for line in aligned(header, rows):
                _put(self._stdout, line)

    def item(self, value: object) -> None:
        """One object of a stream (`jsonl`); nothing in the other forms."""
        if self.form is OutputFormat.JSONL:
            _put(self._stdout, json.dumps(value, ensure_ascii=False, default=str))

    def result(
        self, result: object, *, summary: Mapping[str, object] | None = None, ok: bool = True
    ) -> None:
        """The result as the JSON envelope; nothing in the other forms. At most once per command."""
        if self.form is OutputFormat.JSON:
            _put(self._stdout, envelope(self.command, ok, summary or {}, result))

    def failure(self, error: Mapping[str, object], result: object = None) -> None:
        """The envelope of a command that failed; nothing in the other forms."""
        if self.form is OutputFormat.JSON:
            _put(self._stdout, envelope(self.command, False, {}, result, error))

    def note(self, line: str) -> None:
        """A line on stderr in every form: warnings, next steps, what is being done."""
        _put(self._stderr, line)

    def mark(self, mark: Mark) -> str:
        """✓ ⚠ ✗ on a terminal, [OK] [WARN] [FAIL] elsewhere."""
        if not self._stdout.isatty() or self._environment.get("TERM") == "dumb":
            return f"[{mark.upper()}]"
        glyph = _GLYPHS[mark]
        if has_color(self._stdout, self._environment):
            return f"\x1b[{_COLORS[mark]}m{glyph}\x1b[0m"
        return glyph


def envelope(
    command: str,
    ok: bool,
    summary: Mapping[str, object],
    result: object,
    error: Mapping[str, object] | None = None,
) -> str:
    """The JSON that every command prints."""
    head = {"command": command, "schema": SCHEMA, "ok": ok}
    fields = {**head, "summary": summary, "result": result, "error": error}
    return json.dumps(fields, ensure_ascii=False, default=str)


def aligned(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines with columns as wide as their longest cell; a column of numbers stands to the right."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    columns = range(len(header))
    widths = [max(len(row[c]) for row in cells) for c in columns]
    is_right = [bool(rows) and all(isinstance(row[c], int | float) for row in rows) for c in columns]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _put(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
