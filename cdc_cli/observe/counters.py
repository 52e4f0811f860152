"""What has happened so far, as plain numbers: for `/metrics`, for progress displays, and for the tests of I9.

A counter only grows, a gauge is set. `KNOWN` lists them all; `metrics.py` gives them their public names.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

KNOWN: Mapping[str, str] = {
    "read": "changes read from MongoDB",
    "filtered": "changes read that are not sent on purpose",
    "published": "changes acknowledged by Kafka",
    "replayed": "changes under way to Kafka that were given up and read again",
    "dead_lettered": "changes and records acknowledged by the dead-letter topic",
    "token_saves": "resume tokens saved",
    "positions_lost": "times the resume position was lost",
    "consumed": "records read from Kafka",
    "inserted": "rows inserted",
    "updated": "rows updated",
    "deleted": "rows deleted",
    "stale": "changes refused because the row is newer",
    "merged": "changes superseded by a newer one in the same batch",
    "ignored": "records with nothing to write: document gone at look-up, or a delete and on_delete is ignore",
    "dropped": "records dropped because their partition was taken away, its new owner reads them again",
    "adjusted": "values changed because PostgreSQL cannot hold them, by kind",
    "batches": "transactions committed in PostgreSQL",
    "retries": "failures that were retried, by stage",
    "rebalances": "times partitions changed hands",
    "rewinds": "partitions that are read again because PostgreSQL went back to an older state",
    "watch_waited": "microseconds that the loop of watch waited, by what for",
    "sync_waited": "microseconds that the reading loop of sync waited, by what for",
    "lane_busy": "microseconds that lanes worked on batches, all of them together, by what they did",
    "in_flight": "gauge: changes sent and not yet acknowledged by Kafka",
    "buffered": "gauge: records consumed and not yet committed in PostgreSQL",
}
"""Name -> meaning. "gauge:" marks what is set instead of added."""

GAUGES = frozenset(name for name, meaning in KNOWN.items() if meaning.startswith("gauge:"))


class Counters:
    """Thread-safe. Count once per batch, not per event: an `add` costs about half a microsecond."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def add(self, name: str, amount: int = 1, label: str = "") -> None:
        """Count `amount` more; `label` splits the count (`adjusted` by kind). KeyError for unknown names."""
        if name in GAUGES:
            raise KeyError(f"{name} is a gauge: set it")
        _check(name)
        if amount < 0:
            raise ValueError(f"counter {name} cannot shrink by {-amount}")
        with self._lock:
            self._values[name, label] = self._values.get((name, label), 0) + amount

    def add_wait(self, name: str, on: str, seconds: float) -> None:
        """Count the seconds of something that has ended; once per wait or batch, never per event."""
        self.add(name, max(0, round(seconds * 1_000_000)), on)

    def set(self, name: str, value: int) -> None:
        """The present value of a gauge. KeyError for anything else."""
        if name not in GAUGES:
            raise KeyError(f"{name} is not a gauge")
        with self._lock:
            self._values[name, ""] = value

    def get(self, name: str) -> int:
        """The value, summed over its labels; 0 when nothing was counted."""
        _check(name)
        with self._lock:
            return sum(value for (known, _), value in self._values.items() if known == name)

    def snapshot(self) -> dict[str, int]:
        """Every value of one moment by name; a labelled count as `name.label`, its sum as `name`."""
        with self._lock:
            values = dict(self._values)
        totals = dict.fromkeys(KNOWN, 0)
        for (name, label), value in sorted(values.items()):
            totals[name] += value
            if label:
                totals[f"{name}.{label}"] = value
        return totals

    def labelled(self) -> dict[tuple[str, str], int]:
        """Every value of one moment by (name, label); label "" where the count is not split."""
        with self._lock:
            return dict(self._values)


def _check(name: str) -> None:
    if name not in KNOWN:
        raise KeyError(f"there is no counter {name!r}")
