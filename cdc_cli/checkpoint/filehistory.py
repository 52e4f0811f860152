"""Earlier tokens of a file store: a line `<number> <record>` each, oldest first, rewritten atomically."""

from __future__ import annotations

from pathlib import Path

from cdc_cli.checkpoint import HistoryEntry, TokenRecord
from cdc_cli.checkpoint.disk import read_private, write_durably
from cdc_cli.checkpoint.record import decode, encode
from cdc_cli.errors import PositionLost
from cdc_cli.observe.log import EventLog

log = EventLog(__name__)


class FileHistory:
    """At most `limit` entries; numbers grow for ever, so an old number never means a different token."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self._limit = limit

    def entries(self) -> list[HistoryEntry]:
        """Newest first; damaged lines are left out, with a warning. Raises OSError, ConfigError."""
        found = [entry for line in self._lines() if (entry := self._parse(line)) is not None]
        return found[::-1]

    def append(self, record: TokenRecord) -> int:
        """The new entry's number; 0 when nothing is kept (`limit` 0). Blocks for fsync; raises OSError."""
        if self._limit == 0:
            return 0
        lines = self._lines()
        number = max((_number(line) for line in lines), default=0) + 1
        lines.append(b"%d %s" % (number, encode(record).rstrip()))
        write_durably(self.path, b"".join(line + b"\n" for line in lines[-self._limit :]))
        return number

    def _lines(self) -> list[bytes]:
        return (read_private(self.path) or b"").splitlines()

    def _parse(self, line: bytes) -> HistoryEntry | None:
        number, _, text = line.partition(b" ")
        try:
            return HistoryEntry(int(number), decode(text, f"line {number.decode()} of {self.path}", ""))
        except (PositionLost, ValueError) as exc:
            log.warn("token.history_damaged", "left out of the token history: %s", exc)
            return None


def _number(line: bytes) -> int:
    head = line.partition(b" ")[0]
    return int(head) if head.isdigit() else 0
