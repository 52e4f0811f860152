"""The figures of a run: collected as it goes, printed as one table, judged at the end."""

from __future__ import annotations

import datetime
import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.longrun.times import Times, rows, table


@dataclass
class Figures:
    """Counts of one run; `failures` says in sentences why it is not passed."""

    seed: int
    setting: str = ""
    acknowledged: int = 0
    unknown: int = 0
    changes: int = 0
    records: int = 0
    repeated: int = 0
    written: int = 0
    rows: int = 0
    lost: int = 0
    disorder: int = 0
    regressions: int = 0
    token_ahead: int = 0
    offset_ahead: int = 0
    token_moments: int = 0
    offset_moments: int = 0
    unseen_moments: int = 0
    planted: int = 0
    dead_letters: int = 0
    comparisons: int = 0
    compared: int = 0
    large: int = 0
    added_partitions: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    exits: Counter[str] = field(default_factory=Counter)
    times: list[Times] = field(default_factory=list)
    drain_seconds: float = 0.0
    sigterm_seconds: list[float] = field(default_factory=list)
    peaks: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def fail(self, sentence: str) -> None:
        self.failures.append(sentence)

    def table(self) -> str:
        """Everything, for people."""
        sigterm = max(self.sigterm_seconds, default=0.0)
        lines = [
            ("seed", f"{self.seed}: {self.setting}" if self.setting else self.seed),
            ("writes acknowledged / unknown", f"{self.acknowledged} / {self.unknown}"),
            ("changes in MongoDB", self.changes),
            ("records in Kafka (sent again)", _again(self.records, self.repeated)),
            ("writes in PostgreSQL", self.written),
            ("rows compared at the end", self.rows),
            ("comparisons under way (rows)", f"{self.comparisons} ({self.compared})"),
            ("documents of 2 to 15 MB", self.large),
            ("partitions added", self.added_partitions),
            ("lost", self.lost),
            ("order violations in Kafka (I6)", self.disorder),
            ("regressions in PostgreSQL (I3)", self.regressions),
            ("token ahead (I4)", f"{self.token_ahead} at {self.token_moments} moments"),
            ("offset ahead (I5)", f"{self.offset_ahead} at {self.offset_moments} moments"),
            ("moments not seen, server down", self.unseen_moments),
            ("dead letters planted / found", f"{self.planted} / {self.dead_letters}"),
            ("faults", sum(self.faults.values())),
            ("kills of watch and sync", self.kills),
            ("exits, not by SIGKILL", _counts(self.exits) or "none"),
            ("drain at the end, seconds", f"{self.drain_seconds:.1f}"),
            ("SIGTERM to exit, seconds, max", f"{sigterm:.1f} of {len(self.sigterm_seconds)}"),
            *((f"{name}: max RSS MiB / threads / fds", _peaks(peaks)) for name, peaks in self.peaks.items()),
        ]
        width = max(len(name) for name, _ in lines)
        text = [f"{name.ljust(width)}  {value}" for name, value in lines]
        return "\n".join([*text, "", table(self.times), "", "PASSED" if not self.failures else self._failed()])

    def to_json(self) -> dict[str, Any]:
        """Everything, for machines; `episodes` are the times one by one, `times` their summary by fault."""
        found = {**vars(self), "times": [row.to_json() for row in rows(self.times)]}
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        python = platform.python_version()
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {python}"
        episodes = [one._asdict() for one in self.times]
        return {"date": now, "machine": machine, "passed": not self.failures, **found, "episodes": episodes}

    def _failed(self) -> str:
        return "\n".join(["FAILED", *(f"  - {failure}" for failure in self.failures)])


def _again(records: int, repeated: int) -> str:
    return f"{records} ({repeated}, {100 * repeated / max(1, records):.1f} %)"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} x {count}" for name, count in sorted(counter.items()))


def _peaks(peaks: dict[str, int]) -> str:
    return f"{peaks.get('rss', 0) // 1024} / {peaks.get('threads', 0)} / {peaks.get('fds', 0)}"
