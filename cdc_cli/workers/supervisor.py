"""The threads of a worker live and die together, and the process always gets to its end (invariant I8).

Every thread is named and joined. When one of them ends, by an error or on its own, the stop event is set and
all others drain; the first error is what the process ends with. One deadline is shared by all joins, counted
from the moment of the stop. A thread that is still running then is named in the log with its stack, and the
process leaves without it.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from cdc_cli.clock import Clock
from cdc_cli.errors import CdcError, ExitCode, Fatal
from cdc_cli.observe.log import EventLog
from cdc_cli.retry import Stopped

log = EventLog(__name__)


class Supervisor:
    """Starts threads, watches them, and joins them within `deadline` seconds after `stop` was set.

    `last_words` is called with the error before the process is left because of a hung thread: it may report,
    and must not block for long. `leave` ends the process and does not return.
    """

    def __init__(
        self,
        stop: threading.Event,
        clock: Clock,
        deadline: float,
        *,
        last_words: Callable[[CdcError], object] | None = None,
        leave: Callable[[int], NoReturn] = os._exit,
    ) -> None:
        self._stop = stop
        self._clock = clock
        self._deadline = deadline
        self._last_words = last_words
        self._leave = leave
        self._threads: list[threading.Thread] = []
        self._first_error: BaseException | None = None
        self._lock = threading.Lock()

    def spawn(
        self, name: str, fn: Callable[[], None], *, may_end: bool = False, may_hang: bool = False
    ) -> None:
        """Run `fn` in a thread of that name, from now on. It has to return soon after `stop` is set.

        Returning earlier is a failure of the whole, unless `may_end` says that its work is finite. `Stopped`
        is a normal end. `may_hang`: the thread may stand in a call to a server that does not answer, and
        nothing is lost when the process ends meanwhile; past the deadline it is named and left behind.
        May be called before `run` and while running; after the stop nothing new starts.
        """
        thread = threading.Thread(target=self._guard, args=(name, fn, may_end), name=name, daemon=may_hang)
        with self._lock:
            if self._stop.is_set():
                return
            self._threads.append(thread)
            thread.start()

    def run(self) -> None:
        """Wait, in the main thread, until `stop` is set or all threads have ended.

        Returns when every thread has ended without an error; raises the first error otherwise. A thread that
        does not end in time ends the process: then this does not return.
        """
        while not self._stop.is_set() and self._alive():
            self._stop.wait(0.5)
        self.join()

    def join(self) -> None:
        """Set `stop` and wait for the threads, at most `deadline` seconds together; else like `run`."""
        self._stop.set()
        end = self._clock.monotonic() + self._deadline
        for thread in self._alive():
            thread.join(max(0.0, end - self._clock.monotonic()))
        hung = self._alive()
        if any(not thread.daemon for thread in hung):
            self._abandon(hung)
        for thread in hung:
            log.warn("shutdown.left_behind", "%s still waits for a server and is left behind", thread.name)
        if self._first_error is not None:
            raise self._first_error

    def _alive(self) -> list[threading.Thread]:
        with self._lock:
            return [thread for thread in self._threads if thread.is_alive()]

    def _guard(self, name: str, fn: Callable[[], None], may_end: bool) -> None:
        """The body of every thread: whatever happens to it, it does not end unnoticed."""
        try:
            fn()
            if not may_end and not self._stop.is_set():
                raise Fatal(f"the thread {name} ended by itself", "this is a bug in cdc: please report it")
        except Stopped:
            self._stop.set()
        except BaseException as error:
            self._failed(name, error)

    def _failed(self, name: str, error: BaseException) -> None:
        with self._lock:
            is_first = self._first_error is None
            if is_first:
                self._first_error = error
        if is_first:
            log.debug("worker.failed", "%s failed, everything stops", name, worker=name)
        else:
            log.warn("worker.failed", "%s failed while stopping: %s", name, error, error=error, worker=name)
        self._stop.set()

    def _abandon(self, hung: list[threading.Thread]) -> None:
        """Name the threads that hang and leave the process without them."""
        names = ", ".join(thread.name for thread in hung)
        for thread in hung:
            stack = stack_of(thread)
            log.error(
                "shutdown.thread_hung", "%s did not end within %.1f s; it stands here:\n%s",
                thread.name, self._deadline, stack, worker=thread.name,
            )  # fmt: skip
        error = self._verdict(names)
        if self._last_words is not None:
            self._last_words(error)
        self._leave(int(error.exit_code))

    def _verdict(self, names: str) -> CdcError:
        if isinstance(self._first_error, CdcError):
            return self._first_error
        message = f"not drained: {names} did not end within {self._deadline:g} s"
        hint = "nothing is lost, a restart goes on from the last saved position; the log shows where it hung"
        verdict = Fatal(message, hint, "shutdown.hung", ExitCode.BUG)
        verdict.__cause__ = self._first_error
        return verdict


def stack_of(thread: threading.Thread) -> str:
    """Where the thread stands now, like the end of a traceback; without the values of variables."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else "(already ended)"
