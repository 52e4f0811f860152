"""SIGINT and SIGTERM: the first one asks the process to drain, the second one ends it at once (R9.1, R9.2).

Python runs signal handlers in the main thread, between two bytecodes: not at all while that thread is inside
a C call, and possibly while it holds the very lock that `Event.set` needs. So the handlers here do nothing;
the interpreter writes the number of the signal into a pipe, and a thread of its own reads it and acts.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cdc_cli.errors import ExitCode, Terminated
from cdc_cli.observe.log import EventLog

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_END = b"\0"

log = EventLog(__name__)


class Heard:
    """Which signal came first, for commands that end by it with a code of their own."""

    def __init__(self) -> None:
        self.first: int | None = None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.FORCED_TERM if self.first == signal.SIGTERM else ExitCode.FORCED_INT

    @property
    def interruption(self) -> KeyboardInterrupt:
        """What to raise."""
        return Terminated() if self.first == signal.SIGTERM else KeyboardInterrupt()


@contextmanager
def stop_on_signals(stop: threading.Event, leave: Callable[[int], Any] = os._exit) -> Iterator[Heard]:
    """While inside: the first signal sets `stop`, the second one leaves with 130 (INT) or 143 (TERM).

    Works whatever the main thread is doing. On exit the former handlers are back. Outside the main thread of
    the process, where Python allows no handlers, it does nothing and says so.
    """
    if threading.current_thread() is not threading.main_thread():
        log.warn("signals.not_installed", "not in the main thread: signals are not handled")
        yield Heard()
        return
    heard = Heard()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    listener = threading.Thread(target=_listen, args=(reader, stop, leave, heard), name="cdc-signals", daemon=True)
    former_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    former = {number: signal.signal(number, _ignore) for number in SIGNALS}
    listener.start()
    try:
        yield heard
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former_fd, warn_on_full_buffer=False)
        with suppress(OSError):
            os.write(writer, _END)
        listener.join(timeout=1)
        os.close(writer)


def _listen(reader: int, stop: threading.Event, leave: Callable[[int], Any], heard: Heard) -> None:
    """Read signal numbers until the end mark."""
    try:
        while (byte := os.read(reader, 1)) not in (b"", _END):
            if byte[0] not in SIGNALS:
                continue
            name = signal.Signals(byte[0]).name
            if heard.first is None:
                heard.first = byte[0]
                stop.set()
                log.info("shutdown.requested", "%s: draining; a second signal leaves at once", name)
            else:
                _say(f"cdc: second signal ({name}): leaving at once, without draining\n")
                leave(128 + byte[0])
    finally:
        os.close(reader)


def _ignore(_number: int, _frame: object) -> None:
    """Being installed is all it is for: without a handler the signal would kill the process."""


def _say(text: str) -> None:
    """Past all buffers and locks, because the process ends right here; not at all where it would block."""
    with suppress(OSError):
        _, writable, _ = select.select([], [2], [], 0)
        if writable:
            os.write(2, text.encode())
