"""The way of a log line out of the process: a bounded queue and a thread that writes.

A reader of our stderr that has stopped reading must not stop the pipeline or its shutdown (invariant I8): the
threads that log never wait for it. When the queue is full lines are dropped, and the drop is reported.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
from contextlib import suppress
from typing import TextIO

from cdc_cli.clock import Clock
from cdc_cli.observe.ratelimit import RateLimit

_CAPACITY = 10_000
"""Lines that may wait."""
_PATIENCE = 2.0
"""Seconds that the end of the process waits for the last lines."""
_IDLE = 1.0


class BackgroundHandler(logging.Handler):
    """Formats in the calling thread, limits repetitions, writes in a thread of its own after `start`."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        super().__init__()
        self._stream = stream
        self._clock = clock
        self._limit = RateLimit()
        self._lines: queue.Queue[str | threading.Event | None] = queue.Queue(_CAPACITY)
        self._dropped = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._write_all, name="cdc-log", daemon=True)

    def start(self) -> None:
        """Begin to write; until then lines wait."""
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Let pass what is not a repetition."""
        is_printed = bool(self.filter(record))
        if is_printed:
            for admitted in self._limit.admit(record, self._clock.monotonic()):
                self.emit(admitted)
        return is_printed

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line; never blocks, never raises."""
        try:
            self._lines.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self._dropped += 1
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Wait until what was logged is written, at most two seconds."""
        written = threading.Event()
        if self._thread.is_alive() and not self._is_closed:
            with suppress(queue.Full):
                self._lines.put(written, timeout=_PATIENCE)
                written.wait(_PATIENCE)

    def close(self) -> None:
        """Write what is left, at most two seconds, and end; twice is harmless."""
        for summary in self._limit.rest():
            self.emit(summary)
        if self._thread.is_alive() and not self._is_closed:
            self._is_closed = True
            with suppress(queue.Full):
                self._lines.put(None, timeout=_PATIENCE)
                self._thread.join(_PATIENCE)
        super().close()

    def _write_all(self) -> None:
        while True:
            try:
                line = self._lines.get(timeout=_IDLE)
            except queue.Empty:
                for summary in self._limit.due(self._clock.monotonic()):
                    self.emit(summary)
                continue
            if line is None:
                return
            if isinstance(line, threading.Event):
                line.set()
                continue
            if self._dropped:
                self._report_drop()
            write_through(self._stream, line)

    def _report_drop(self) -> None:
        dropped, self._dropped = self._dropped, 0
        text = "%d log lines were dropped: whoever reads this log is too slow"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (dropped,), None)
        record.__dict__["event.action"] = "log.dropped"
        write_through(self._stream, self.format(record) + "\n")


def write_through(stream: TextIO, text: str) -> None:
    """Write past Python's buffers: their locks abort the interpreter that ends during a blocked write.

    A stream that is closed or broken swallows the text: a lost log is no reason to lose the pipeline.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        with suppress(OSError, ValueError):
            stream.write(text)
            stream.flush()
        return
    data = text.encode("utf-8", "backslashreplace")
    with suppress(OSError):
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                select.select([], [descriptor], [], _IDLE)
