"""The last safeguard of invariant I8: after a stop the process is gone in time, even when closing hangs.

The supervisor's deadline covers the threads of a worker. This one covers the rest, the main thread included:
a driver whose `close` never returns must not keep a process alive that was asked to end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cdc_cli.errors import ExitCode
from cdc_cli.observe.log import EventLog
from cdc_cli.workers.supervisor import stack_of

log = EventLog(__name__)


@contextmanager
def gone_in_time(
    stop: threading.Event,
    seconds: Callable[[], float],
    last_words: Callable[[], object] = lambda: None,
    leave: Callable[[int], object] = os._exit,
) -> Iterator[None]:
    """While inside: `seconds()` after `stop` was set, whatever still runs is named and the process is left.

    The exit code is 70: this is a bug, the work itself has its own deadlines. `last_words` must not block.
    """
    done = threading.Event()
    watched = threading.current_thread()

    def watch() -> None:
        while not stop.wait(0.5):
            if done.is_set():
                return
        if done.wait(seconds()):
            return
        stack = stack_of(watched)
        log.error("shutdown.hung", "not ended in time; %s stands here:\n%s", watched.name, stack)
        last_words()
        leave(int(ExitCode.BUG))

    threading.Thread(target=watch, name="cdc-deadline", daemon=True).start()
    try:
        yield
    finally:
        done.set()
