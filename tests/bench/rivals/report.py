"""The figures of ours and of theirs: as lines while it runs, as JSON, as a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.rivals.curve import Curve

_HEAD = (
    "| | events/s | last two thirds | CPU per event | last two thirds | peak memory | whole run |\n"
    "|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Run:
    """One run. CPU is that of the worker's process alone, from the first event on; None = not known."""

    curve: Curve
    cpu_us: float
    steady_cpu_us: float | None
    peak_mb: float


class Report:
    """Collects runs; prints each at once, and the medians at the end."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._runs: dict[str, list[Run]] = {}
        print(machine, flush=True)

    def add(self, case: str, run: Run) -> None:
        self._runs.setdefault(case, []).append(run)
        print(_line(case, _row([run])), flush=True)

    def table(self) -> str:
        """The medians in Markdown."""
        return _HEAD + "\n".join(_line(case, _row(runs)) for case, runs in self._runs.items())

    def write(self, path: Path) -> None:
        rows = [{"case": case, "runs": len(runs), **_row(runs)} for case, runs in self._runs.items()]
        path.write_text(json.dumps({"machine": self._machine, "rows": rows}, indent=2))


def _row(runs: list[Run]) -> dict[str, Any]:
    def median(figure: Callable[[Run], float]) -> float:
        return statistics.median(figure(run) for run in runs)

    steady = [run.steady_cpu_us for run in runs if run.steady_cpu_us is not None]
    return {
        "events": runs[0].curve.points[-1].events,
        "rate": median(lambda run: run.curve.rate),
        "steady_rate": median(lambda run: run.curve.steady_rate),
        "cpu_us": median(lambda run: run.cpu_us),
        "steady_cpu_us": statistics.median(steady) if steady else None,
        "peak_mb": max(run.peak_mb for run in runs),
        "seconds": median(lambda run: run.curve.seconds),
    }


def _line(case: str, row: dict[str, Any]) -> str:
    steady = "" if row["steady_cpu_us"] is None else f"{row['steady_cpu_us']:.0f} us"
    rates = f"{row['rate']:,.0f} | {row['steady_rate']:,.0f}"
    memory = f"{row['peak_mb']:.0f} MB"
    return f"| {case} | {rates} | {row['cpu_us']:.0f} us | {steady} | {memory} | {row['seconds']:.1f} s |"
