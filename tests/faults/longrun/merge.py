"""Several runs in one table: what their `--json` files hold, added up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.longrun.times import Times, table

_SUMS = {
    "acknowledged": "writes acknowledged",
    "changes": "changes in MongoDB",
    "records": "records in Kafka",
    "repeated": "sent again",
    "rows": "rows compared at the end",
    "compared": "rows compared under way",
    "lost": "lost",
    "disorder": "order violations in Kafka (I6)",
    "regressions": "regressions in PostgreSQL (I3)",
    "token_ahead": "token ahead (I4)",
    "token_moments": "moments at which the token was looked at",
    "offset_ahead": "offset ahead (I5)",
    "offset_moments": "moments at which offsets were looked at",
    "large": "documents of 2 to 15 MB",
    "planted": "dead letters planted",
    "dead_letters": "dead letters found",
    "kills": "kills of watch and sync",
}


def merged(files: Sequence[Path]) -> str:
    """For people. Raises OSError and ValueError for what is no such file."""
    runs: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files]
    failed = [run["seed"] for run in runs if not run["passed"]]
    episodes = [Times(**episode) for run in runs for episode in run["episodes"]]
    lines: list[tuple[str, Any]] = [
        ("seeds", ", ".join(str(run["seed"]) for run in runs)),
        ("failed", ", ".join(map(str, failed)) or "none"),
        ("machine", "; ".join(sorted({run["machine"] for run in runs}))),
        ("dates", " to ".join(sorted({run["date"][:10] for run in runs}))),
        ("faults", sum(sum(run["faults"].values()) for run in runs)),
        ("episodes", len(episodes)),
        *((name, sum(run[key] for run in runs)) for key, name in _SUMS.items()),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join([*(f"{name.ljust(width)}  {value}" for name, value in lines), "", table(episodes)])
