"""Figures as lines while it runs, as JSON, and as the table that README shows."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from tests.bench.measure import Result


class Report:
    """Collects rows; every one is printed at once."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._rows: list[dict[str, Any]] = []
        print(machine, flush=True)

    def add(self, case: str, ours: list[Result], bare: list[Result] | None = None) -> float:
        """Medians of the runs; returns the rate. `bare`: the limit, measured in turn with ours."""
        row: dict[str, Any] = {
            "case": case,
            "events": ours[0].events,
            "runs": len(ours),
            "rate": statistics.median(r.rate for r in ours),
            "cpu_us": statistics.median(r.cpu_us for r in ours),
            "peak_mb": max(r.peak_mb for r in ours),
        }
        text = f"{case:52} {row['rate']:>9,.0f}/s {row['cpu_us']:6.1f} us CPU {row['peak_mb']:4.0f} MB"
        if bare:
            row["bare_rate"] = statistics.median(r.rate for r in bare)
            row["ratio"] = statistics.median(a.rate / b.rate for a, b in zip(ours, bare, strict=True))
            text += f"  {row['ratio']:.2f} of bare ({row['bare_rate']:,.0f}/s)"
        self._rows.append(row)
        print(text, flush=True)
        return float(row["rate"])

    def note(self, case: str, figures: dict[str, float], unit: str) -> None:
        """Anything else that has a few figures of one unit."""
        self._rows.append({"case": case, "unit": unit, **figures})
        print(f"{case:52} " + ", ".join(f"{name} {value:,.4g} {unit}" for name, value in figures.items()), flush=True)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"machine": self._machine, "rows": self._rows}, indent=2))

    def table(self) -> str:
        """The rates in Markdown."""
        head = "| case | events | rate | of the bare loop | CPU per event | peak memory |\n|---|---|---|---|---|---|\n"
        return head + "\n".join(_line(row) for row in self._rows if "rate" in row and "runs" in row)


def _line(row: dict[str, Any]) -> str:
    ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
    figures = f"{row['events']:,} | {row['rate']:,.0f}/s | {ratio} | {row['cpu_us']:.0f} us | {row['peak_mb']:.0f} MB"
    return f"| {row['case']} | {figures} |"
