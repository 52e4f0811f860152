"""A clock that stands still until a test turns it."""

from __future__ import annotations


class ManualClock:
    """Both hands move together by `tick`; `jump` turns only the wall clock, as an administrator would."""

    def __init__(self, time: float = 1_764_000_000.0) -> None:
        self._monotonic = 1000.0
        self._time = time

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return self._time

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self._monotonic += seconds
        self._time += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self._time += seconds
