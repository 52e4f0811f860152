"""Records on their way to the driver, handed over in bursts.

A reader that has a backlog sends a record every 30 microseconds. The driver, which waits a few milliseconds for more,
would cut that into batches of a dozen records for each partition, and half of the brokers' work is per batch. Held
here until there are a thousand of them, or until the reader has nothing more at hand, they become whole batches; a
reader that has caught up waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

_RECORDS = 1000
_BYTES = 1 << 20


class Failing(Protocol):
    """The fate of a record, as far as this file decides it."""

    def fail(self, error: BaseException) -> None: ...


_R = TypeVar("_R", bound=Failing)
_T = TypeVar("_T")


class Burst(Generic[_T, _R]):
    """One thread's object. `give` gives records to the driver in order; when it raises, it leaves in the list those
    that the driver does not have.

    After one could not be given, those behind it are not tried: they fail with the same error, until `clear`.
    """

    def __init__(self, give: Callable[[list[tuple[_T, _R]]], None]) -> None:
        self._give = give
        self._held: list[tuple[_T, _R]] = []
        self._size = 0
        self._failure: BaseException | None = None

    def add(self, item: _T, report: _R, size: int) -> None:
        """Hold one record of `size` bytes; enough of them are given to the driver at once."""
        held = self._held
        held.append((item, report))
        self._size += size
        if len(held) >= _RECORDS or self._size >= _BYTES:
            self.push()

    def push(self) -> None:
        """Give what is held to the driver, in order; never raises, a record that cannot be given has failed."""
        held, self._held, self._size = self._held, [], 0
        if held and self._failure is None:
            try:
                self._give(held)
                return
            except Exception as exc:
                self._failure = exc
        for _, report in held:
            assert self._failure is not None
            report.fail(self._failure)

    def clear(self) -> None:
        """Forget what is held: it is abandoned, and sent again by whoever sent it."""
        self._held, self._size, self._failure = [], 0, None
