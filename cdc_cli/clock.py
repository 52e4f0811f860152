"""Time as a thing that is passed in, so that tests can turn the clock.

Nothing else in the program asks the operating system for the time. Waiting is not the clock's business: a
wait is `stop.wait(seconds)` on the stop event, so that a signal always cuts it short (invariant I8).
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Both hands of the clock, in seconds."""

    def monotonic(self) -> float:
        """For durations and deadlines: never goes back, nobody sets it, its zero means nothing."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, UTC: for timestamps that people or other machines read."""
        ...


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()
