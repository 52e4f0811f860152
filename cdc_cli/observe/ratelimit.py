"""A fault that repeats must not fill the disk: equal lines are printed a few times, then counted.

Equal means the same logger, level and message template. Single facts (an action at level info or below)
always pass, because counts and confirmations are what they are printed for. Pure but for its lock; time is
passed in.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

from cdc_cli.observe.log import ACTION

BURST = 5
"""Equal lines per window that are printed."""
WINDOW = 10.0
"""Seconds."""
_KEYS = 1000
"""Different lines that are remembered; the one not seen for longest is forgotten first."""

_Key = tuple[str, int, str]


@dataclass(slots=True)
class _Run:
    since: float
    last: logging.LogRecord
    seen: int = 0

    @property
    def suppressed(self) -> int:
        return max(0, self.seen - BURST)


class RateLimit:
    """Decides which lines are printed; thread-safe."""

    def __init__(self) -> None:
        self._runs: OrderedDict[_Key, _Run] = OrderedDict()
        self._swept = 0.0
        self._lock = threading.Lock()

    def admit(self, record: logging.LogRecord, now: float) -> list[logging.LogRecord]:
        """What to print now (seconds, monotonic) for this record: summaries that are due, then itself."""
        with self._lock:
            due = self._sweep(now)
            if _is_fact(record):
                return [*due, record]
            key = (record.name, record.levelno, str(record.msg))
            run = self._runs.get(key)
            if run is not None and now - run.since >= WINDOW:
                due += self._end(key)
                run = None
            if run is None:
                due += self._make_room()
                run = self._runs[key] = _Run(now, record)
            self._runs.move_to_end(key)
            run.seen += 1
            run.last = record
            return due if run.suppressed else [*due, record]

    def due(self, now: float) -> list[logging.LogRecord]:
        """The summaries of runs whose window has ended: to be asked for when nothing else is logged."""
        with self._lock:
            return self._sweep(now)

    def rest(self) -> list[logging.LogRecord]:
        """All summaries, at the end."""
        with self._lock:
            return [summary for key in list(self._runs) for summary in self._end(key)]

    def _sweep(self, now: float) -> list[logging.LogRecord]:
        if now - self._swept < 1.0:
            return []
        self._swept = now
        ended = [key for key, run in self._runs.items() if now - run.since >= WINDOW]
        return [summary for key in ended for summary in self._end(key)]

    def _make_room(self) -> list[logging.LogRecord]:
        return self._end(next(iter(self._runs))) if len(self._runs) >= _KEYS else []

    def _end(self, key: _Key) -> list[logging.LogRecord]:
        run = self._runs.pop(key)
        return [_summary(run)] if run.suppressed else []


def _is_fact(record: logging.LogRecord) -> bool:
    return record.levelno < logging.WARNING and ACTION in record.__dict__


def _summary(run: _Run) -> logging.LogRecord:
    """`repeated 412 times: ...`, with the text of the last one."""
    last = run.last
    summary = logging.makeLogRecord(last.__dict__)
    summary.msg, summary.args = "repeated %d times more: %s", (run.suppressed, last.getMessage())
    summary.exc_info = summary.exc_text = summary.stack_info = None
    summary.__dict__["cdc.repeated"] = run.suppressed
    return summary
