"""Bounded waiting for a call into a driver that takes no timeout and may wait for a broker that never answers."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Aside:
    """Makes one call at a time in a thread of its own; the call goes on when nobody waits for it any more."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def run(self, call: Callable[[], object], timeout: float) -> None:
        """Waits for the call at most `timeout` seconds; raises what it raises, TimeoutError when it goes on, also
        when an earlier call still does (then this one is not made).
        """
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise TimeoutError("an earlier call still waits for the broker")
        self._error = None
        self._thread = threading.Thread(target=self._call, args=(call,), name=self._name, daemon=True)
        self._thread.start()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"no answer within {timeout:g} s")
        if self._error is not None:
            raise self._error

    def _call(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as exc:
            self._error = exc
