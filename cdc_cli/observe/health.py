"""Whether the loops still turn (alive) and whether work can be done (ready).

Alive asks no server: a restart does not mend a dead database. Ready means connected, and the lease or the
partitions held. Both are told by the workers; a check that nobody has reported yet is not ready.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from cdc_cli.clock import Clock


class Health:
    """Thread-safe; a beat costs a dictionary write, so a loop may beat in every round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowed: dict[str, float] = {}
        self._beats: dict[str, float] = {}
        self._checks: dict[str, bool] = {}
        self._lock = threading.Lock()

    def expect_beats(self, loop: str, within: float) -> None:
        """From now on the loop has to beat at least every `within` seconds."""
        with self._lock:
            self._allowed[loop] = within
            self._beats[loop] = self._clock.monotonic()

    def beat(self, loop: str) -> None:
        """The loop has turned once more."""
        self._beats[loop] = self._clock.monotonic()

    def expect_check(self, check: str) -> None:
        """Not ready before this check has been reported as fine."""
        with self._lock:
            self._checks.setdefault(check, False)

    def report_check(self, check: str, is_fine: bool) -> None:
        """How the check stands now: connected, lease held, partitions assigned."""
        with self._lock:
            self._checks[check] = is_fine

    def loops(self) -> Mapping[str, bool]:
        """Each loop, and whether it has beaten in time."""
        now = self._clock.monotonic()
        with self._lock:
            return {loop: now - self._beats[loop] <= within for loop, within in self._allowed.items()}

    def checks(self) -> Mapping[str, bool]:
        """Each check, and whether it is fine."""
        with self._lock:
            return dict(self._checks)

    @property
    def is_alive(self) -> bool:
        """Every loop turns."""
        return all(self.loops().values())

    @property
    def is_ready(self) -> bool:
        """Every loop turns and every check is fine."""
        return self.is_alive and all(self.checks().values())
