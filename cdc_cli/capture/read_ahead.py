"""Asks for the next batch while the last one is being published: MongoDB and this process work at the same time.

One thread of its own runs the `getMore` commands, one at a time. Whoever takes a batch never waits longer than he
says, so a server that does not answer blocks nobody (invariant I8). A few small batches are asked for ahead, so that
neither side waits for the other's hiccups; of large ones only one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue

from cdc_cli.capture.cursor import ChangeCursor, Reply

_AHEAD = 3
_AHEAD_BYTES = 3 << 20
"""No more is asked for while so many bytes of BSON wait to be taken."""


class ReadAhead:
    """Owns an open cursor. `take` and `close` belong to one thread."""

    def __init__(self, cursor: ChangeCursor, ahead: bool, asking: Callable[[], AbstractContextManager[None]]) -> None:
        self._cursor = cursor
        self._ahead = ahead
        self._asking = asking
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self._replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
        self._asked = 0
        self._arrived = self._taken = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def take(self, batch_size: int, timeout: float) -> Reply | None:
        """The next batch; None when there is no answer yet after `timeout` seconds. Raises pymongo's errors."""
        if not self._asked:
            self._ask(batch_size)
        try:
            reply = self._replies.get(timeout=timeout)
        except Empty:
            return None
        self._asked -= 1
        if isinstance(reply, BaseException):
            raise reply
        self._taken += reply.size
        self._ahead = self._ahead and reply.alive
        return reply

    def close(self) -> None:
        """Give the cursor up without waiting for an answer that is still due."""
        self._closed = True
        if self._thread is None:
            self._cursor.close()
        else:
            self._wanted.put(0)

    def ask_ahead(self, batch_size: int) -> None:
        """For one batch at least; the answers that are still due are unknown in size, so large ones stop it late."""
        while self._ahead and self._asked < _AHEAD and not (self._asked and self._waiting >= _AHEAD_BYTES):
            self._ask(batch_size)

    @property
    def _waiting(self) -> int:
        return self._arrived - self._taken

    def _ask(self, batch_size: int) -> None:
        if self._thread is None:
            # A daemon: it may stand in a call to a dead server when the process ends.
            self._thread = threading.Thread(target=self._run, name="cdc-read-ahead", daemon=True)
            self._thread.start()
        self._asked += 1
        self._wanted.put(batch_size)

    def _run(self) -> None:
        """Until closed, or failed: after an error only a new cursor goes on."""
        while (batch_size := self._wanted.get()) and not self._closed:
            try:
                with self._asking():
                    reply = self._cursor.more(batch_size)
                self._arrived += reply.size
                self._replies.put(reply)
            except BaseException as exc:
                self._replies.put(exc)
                break
        self._cursor.close()
