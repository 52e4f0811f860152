"""Whether the loops still turn (alive) and whether work can be done (ready).

Alive asks no server: a restart does not mend a dead database. Ready means connected, and the lease or the
partitions held, and no server silent. All is told by the workers; a check that nobody has reported yet is not ready.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cdc_cli.clock import Clock
from cdc_cli.observe.log import EventLog

log = EventLog(__name__)

MONGODB, KAFKA, POSTGRES, TOKENS = "MongoDB", "Kafka", "PostgreSQL", "the token store"
"""Who may owe an answer."""

SILENT_AFTER = 5.0
"""Seconds without an answer from which a server is told as silent: its own time limits are a minute and more."""


class Health:
    """Thread-safe; a beat costs a dictionary write, so a loop may beat in every round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowed: dict[str, float] = {}
        self._beats: dict[str, float] = {}
        self._checks: dict[str, bool] = {}
        self._owed: dict[tuple[str, int], float] = {}
        self._asked: set[str] = set()
        self._told: set[str] = set()
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

    @contextmanager
    def asking(self, whom: str) -> Iterator[None]:
        """This thread waits for that server meanwhile, in one call or in several attempts."""
        place = (whom, threading.get_ident())
        self._asked.add(whom)
        self._owed[place] = self._clock.monotonic()
        try:
            yield
        finally:
            self._owed.pop(place, None)

    def owes(self, whom: str, since: float | None) -> None:
        """The server owes an answer since then (monotonic seconds), None = it owes nothing."""
        self._asked.add(whom)
        if since is None:
            self._owed.pop((whom, 0), None)
        else:
            self._owed[whom, 0] = since

    def silent(self) -> Mapping[str, float]:
        """Servers that owe an answer for longer than `SILENT_AFTER`, and for how many seconds."""
        now = self._clock.monotonic()
        found: dict[str, float] = {}
        for (whom, _), since in list(self._owed.items()):
            if now - since > SILENT_AFTER:
                found[whom] = max(now - since, found.get(whom, 0.0))
        return found

    def tell_silence(self) -> None:
        """Log who fell silent and who answers again, each once; for the loops, in every round."""
        silent = self.silent()
        for whom in silent.keys() - self._told:
            self._told.add(whom)
            log.warn("server.silent", "%s has not answered for %.0f s", whom, silent[whom])
        for whom in self._told - silent.keys():
            self._told.discard(whom)
            log.info("server.answers", "%s answers again", whom)

    def checks(self) -> Mapping[str, bool]:
        """Each check, and whether it is fine."""
        silent = self.silent()
        with self._lock:
            return {**self._checks, **{f"{whom} answers": whom not in silent for whom in sorted(self._asked)}}

    @property
    def is_alive(self) -> bool:
        """Every loop turns."""
        return all(self.loops().values())

    @property
    def is_ready(self) -> bool:
        """Every loop turns and every check is fine."""
        return self.is_alive and all(self.checks().values())
