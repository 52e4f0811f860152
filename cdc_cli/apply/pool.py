"""A pool that waits: at least `minimum` and at most `maximum` connections, shared by the workers' threads.

The last one given back is the first one taken, so that few are warm and the rest is a reserve. A connection
that is found or left broken is closed and its place is free again, whatever went wrong (R7.2, R7.5).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from cdc_cli.errors import Retryable


class Poolable(Protocol):
    """What the pool asks of a connection."""

    def alive(self) -> bool:
        """Whether it looks usable, without asking the server when nothing speaks against it."""
        ...

    def recover(self) -> bool:
        """Leave any open transaction; False when the connection is of no more use. Never raises."""
        ...

    def cancel(self) -> None:
        """End what another thread waits for on it. Never raises."""
        ...

    def close(self) -> None:
        """Never raises."""
        ...


T = TypeVar("T", bound=Poolable)


class ConnectionPool(Generic[T]):
    """`connect` opens one connection and raises a CdcError when it cannot; no lock is held meanwhile."""

    def __init__(
        self,
        connect: Callable[[], T],
        minimum: int,
        maximum: int,
        acquire_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._minimum = min(minimum, maximum)
        self._maximum = maximum
        self._timeout = acquire_timeout
        self._clock = clock
        self._idle: list[T] = []
        self._used: list[T] = []
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()

    def start(self) -> None:
        """Open the minimum, one after the other; raises what the first failing connect raised (R7.1)."""
        while True:
            with self._changed:
                if self._closed or self._size >= self._minimum:
                    return
                self._size += 1
            self._put_back(self._open())

    @property
    def size(self) -> int:
        """Connections that are open, or being opened."""
        return self._size

    @property
    def idle(self) -> int:
        return len(self._idle)

    @contextmanager
    def session(self) -> Iterator[T]:
        """One connection for the block; waits up to the acquire timeout for it, then raises Retryable.

        After an exception the connection is cleaned, or closed when that fails, before the exception goes on.
        """
        item = self._acquire()
        with self._changed:
            self._used.append(item)
        try:
            yield item
        except BaseException:
            self._put_back(item, usable=item.recover())
            raise
        self._put_back(item)

    def interrupt(self) -> None:
        """Cut every connection in use, so that whoever waits on one gets Retryable: for the last seconds of a
        shutdown. Never blocks.
        """
        with self._changed:
            used = list(self._used)
        for item in used:
            item.cancel()

    def close(self) -> None:
        """Close what is idle now, and the rest as it comes back. Waiting callers get Retryable."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._size -= len(idle)
            self._changed.notify_all()
        for item in idle:
            item.close()

    def _acquire(self) -> T:
        deadline = self._clock() + self._timeout
        while True:
            item = self._take(deadline)
            if item is None:
                return self._open()
            if item.alive():
                return item
            self._put_back(item, usable=False)

    def _take(self, deadline: float) -> T | None:
        """An idle connection, or None with a place reserved for a new one."""
        with self._changed:
            while True:
                if self._closed:
                    raise Retryable("the PostgreSQL connection pool is closed", code="postgres.closed")
                if self._idle:
                    return self._idle.pop()
                if self._size < self._maximum:
                    self._size += 1
                    return None
                if not self._changed.wait(deadline - self._clock()) and self._clock() >= deadline:
                    raise self._exhausted()

    def _open(self) -> T:
        try:
            return self._connect()
        except BaseException:
            with self._changed:
                self._size -= 1
                self._changed.notify()
            raise

    def _put_back(self, item: T, usable: bool = True) -> None:
        with self._changed:
            if item in self._used:
                self._used.remove(item)
            keep = usable and not self._closed
            if keep:
                self._idle.append(item)
            else:
                self._size -= 1
            self._changed.notify()
        if not keep:
            item.close()

    def _exhausted(self) -> Retryable:
        return Retryable(
            f"waited {self._timeout:g} s for one of {self._maximum} PostgreSQL connections, all are in use",
            "raise postgres.pool.max or postgres.pool.acquire_timeout, or look for slow statements",
            "postgres.pool_exhausted",
        )
