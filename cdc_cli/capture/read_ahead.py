"""Asks for the next batch while the last one is being published: MongoDB and this process work at the same time.

One thread of its own runs the `getMore` commands, one at a time. Whoever takes a batch never waits longer than he
says, so a server that does not answer blocks nobody (invariant I8). At most one batch is held back.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue

from cdc_cli.capture.cursor import ChangeCursor, Reply


class ReadAhead:
    """Owns an open cursor. `take` and `close` belong to one thread."""

    def __init__(self, cursor: ChangeCursor, ahead: bool) -> None:
        self._cursor = cursor
        self._ahead = ahead
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self._replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
        self._asked = False
        self._thread: threading.Thread | None = None

    def take(self, batch_size: int, timeout: float) -> Reply | None:
        """The next batch; None when there is no answer yet after `timeout` seconds. Raises pymongo's errors."""
        self._ask(batch_size)
        try:
            reply = self._replies.get(timeout=timeout)
        except Empty:
            return None
        self._asked = False
        if isinstance(reply, BaseException):
            raise reply
        if self._ahead and reply.alive:
            self._ask(batch_size)
        return reply

    def close(self) -> None:
        """Give the cursor up without waiting for an answer that is still due."""
        if self._thread is None:
            self._cursor.close()
        else:
            self._wanted.put(0)

    def _ask(self, batch_size: int) -> None:
        if self._asked:
            return
        if self._thread is None:
            # A daemon: it may stand in a call to a dead server when the process ends.
            self._thread = threading.Thread(target=self._run, name="cdc-read-ahead", daemon=True)
            self._thread.start()
        self._asked = True
        self._wanted.put(batch_size)

    def _run(self) -> None:
        while batch_size := self._wanted.get():
            try:
                self._replies.put(self._cursor.more(batch_size))
            except BaseException as exc:
                self._replies.put(exc)
        self._cursor.close()
