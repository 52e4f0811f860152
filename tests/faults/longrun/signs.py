"""What an operator could see of a fault, and when: a warning, a page that says not ready, a counter, an exit.

Log lines carry their own time stamps and are read afterwards; readiness, counters and exits are looked at five
times a second. Dead letters are no sign, because some are planted; nor is the count of lines left out before.
"""

from __future__ import annotations

import datetime
import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.cdc_process import CdcProcess

LOG, READY, COUNTER, EXIT = "log", "readyz", "counter", "exit"
_EVERY = 0.2
_FINE = 200
_TIMEOUT = 1.0
"""Of a look at a page; that of Kubernetes."""
_LEVELS = frozenset({"warn", "error"})
_NO_SIGN = frozenset({"event.dead_lettered"})
REBALANCES = "cdc_rebalances_total"
_COUNTERS = (REBALANCES, "cdc_retries_total", "cdc_events_replayed_total", "cdc_positions_lost_total")


class Sign(NamedTuple):
    """`at` is epoch seconds, `process` a name such as `sync 2`, `kind` one of LOG, READY, COUNTER, EXIT."""

    at: float
    process: str
    kind: str
    text: str


class Probed(NamedTuple):
    """A process to look at, and the port of its pages."""

    process: CdcProcess
    port: int


class Signs:
    """Watches from `start` to `close`; `seen` may be called from any thread."""

    def __init__(self, probed: Callable[[], Mapping[str, Probed]], logs: Callable[[], Mapping[Path, str]]) -> None:
        """`probed` are the processes by name; `logs` all log files so far, with the name of whose they are."""
        self._probed = probed
        self._logs = logs
        self._read: dict[Path, int] = {}
        self._found: list[Sign] = []
        self._states: dict[int, State] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def seen(self, since: float) -> list[Sign]:
        """All signs from that time on, in the order of time."""
        with self._lock:
            for path, name in self._logs().items():
                self._found += self._new_lines(path, name)
            return sorted(sign for sign in self._found if sign.at >= since)

    def calm(self, quiet: float, limit: float) -> None:
        """Blocks until nothing was seen for `quiet` seconds, at most `limit`."""
        end = time.time() + limit
        while self.seen(time.time() - quiet) and time.time() < end:
            time.sleep(0.1)

    def _new_lines(self, path: Path, name: str) -> list[Sign]:
        """Whole lines only; a line that is being written is read the next time."""
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(whole)
        return [sign for line in whole.splitlines() if (sign := sign_of(line, name)) is not None]

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            for name, probed in self._probed().items():
                pid = probed.process.pid
                state = self._states.setdefault(pid, State())
                found = state.look(name, probed, time.time())
                with self._lock:
                    self._found += found


class State:
    """What was last seen of one process."""

    def __init__(self) -> None:
        self._was_ready = self._has_ended = False
        self._counters: dict[str, float] = {}

    def look(self, name: str, probed: Probed, now: float) -> list[Sign]:
        if self._has_ended:
            return []
        code = probed.process.exit_code
        if code is not None:
            self._has_ended = True
            return [Sign(now, name, EXIT, f"exit code {code}")]
        found = []
        code = _get(probed.port, "/readyz").code
        is_ready = code == _FINE
        if self._was_ready and not is_ready and probed.process.exit_code is None:
            found.append(Sign(now, name, READY, f"answers {code}" if code else "does not answer"))
        self._was_ready = is_ready
        if is_ready:
            found += [Sign(now, name, COUNTER, moved) for moved in self._moved(_get(probed.port, "/metrics").body)]
        return found

    def _moved(self, page: str) -> list[str]:
        """Those counters of trouble that are higher than before."""
        now = {metric: total(page, metric) for metric in _COUNTERS}
        moved = [metric for metric, value in now.items() if value > self._counters.get(metric, value)]
        self._counters = now
        return moved


def sign_of(line: bytes, name: str) -> Sign | None:
    """The sign that a log line is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("log.level") not in _LEVELS:
        return None
    if entry.get("event.action") in _NO_SIGN or "cdc.repeated" in entry:
        return None
    at = datetime.datetime.fromisoformat(str(entry["@timestamp"])).timestamp()
    return Sign(at, name, LOG, f"{entry.get('event.action')}: {str(entry.get('message'))[:200]}")


def total(page: str, metric: str) -> float:
    """The sum of a counter over its labels."""
    lines = (line.rpartition(" ") for line in page.splitlines() if line.startswith((f"{metric} ", f"{metric}{{")))
    return sum(float(value) for _, _, value in lines)


class Page(NamedTuple):
    """An answer; the code is 0 when there was none in time."""

    code: int
    body: str = ""


def _get(port: int, path: str) -> Page:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Page(answer.status, answer.read().decode())
    except (OSError, http.client.HTTPException):
        return Page(0)
    finally:
        connection.close()
