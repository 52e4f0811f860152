"""The figures of a bench: as JSON, and as the lines that people read. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc_cli.bench.clean import Cleaned
from cdc_cli.bench.drain import Drained
from cdc_cli.bench.latency import Delays, Load
from cdc_cli.bench.names import Run
from cdc_cli.bench.things import Leftover, Thing
from cdc_cli.bench.verdict import LATENCY_ADVICE, LATENCY_TITLES, TITLES, advice, evidence

_PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
DEFINITION = "from MongoDB's acknowledgement (w: majority) to the row being visible in PostgreSQL"


@dataclass(slots=True)
class Report:
    """What was measured so far. `about` are the settings that matter for the figures."""

    run: Run
    about: Mapping[str, Any]
    has_confluent: bool
    stages: list[Drained] = field(default_factory=list)
    load: Load | None = None
    delays: Delays | None = None
    cleaned: Cleaned = field(default_factory=Cleaned)

    @property
    def is_ok(self) -> bool:
        """Whether everything arrived, and nothing is left."""
        return not self.cleaned.left and not (self.delays is not None and self.delays.missing)

    def summary(self) -> dict[str, Any]:
        """The figures that matter most, flat."""
        flat: dict[str, Any] = {}
        for stage in self.stages:
            flat[f"{stage.stage}_{stage.work}_per_second"] = round(stage.rate, 1)
            flat[f"{stage.stage}_{stage.work}_bottleneck"] = stage.limit.value
        if self.delays is not None:
            flat |= {f"latency_p{percent}_ms": _ms(self.delays.percentile(percent)) for percent in (50, 99)}
            flat["latency_bottleneck"] = self.delays.limit.value
        return {**flat, "left_behind": len(self.cleaned.left)}

    def result(self) -> dict[str, Any]:
        """All figures, for `-o json`."""
        return {
            "run": self.run,
            "settings": dict(self.about),
            "stages": [self._stage(stage) for stage in self.stages],
            "latency": self._latency(),
            "left_behind": [leftover_json(left) for left in self.cleaned.left],
        }

    def lines(self) -> Iterator[str]:
        """The figures for people."""
        for stage in self.stages:
            limit = stage.limit
            took = f"{stage.events:,} events in {stage.seconds:.2f} s"
            yield f"{stage.stage:<6}{stage.work:<9}{stage.rate:>9,.0f}/s   {took}"
            yield from _below(f"bottleneck: {TITLES[limit]} ({evidence(stage.shares, limit)})")
            yield from _below(advice(stage.stage, limit, self.has_confluent))
        if self.delays is not None and self.load is not None:
            delays = self.delays
            values = {name: delays.percentile(percent) for name, percent in _PERCENTILES.items()}
            shown = ", ".join(f"{name} {_text(value)}" for name, value in values.items())
            yield f"latency at {delays.reached:,.0f}/s   {shown}"
            yield from _below(f"{DEFINITION}; {len(delays.times):,} samples")
            if delays.missing:
                yield f"      {delays.missing:,} have NOT arrived"
            cores = f"{delays.cpu:.2f} cores of CPU used by this process"
            yield from _below(f"most of it: {LATENCY_TITLES[delays.limit]} ({cores})")
            yield from _below(LATENCY_ADVICE[delays.limit])

    def _stage(self, stage: Drained) -> dict[str, Any]:
        return {
            "stage": stage.stage,
            "work": stage.work,
            "events": stage.events,
            "seconds": round(stage.seconds, 3),
            "events_per_second": round(stage.rate, 1),
            "cpu_cores": round(stage.cpu, 3),
            "counts": stage.counts,
            "shares": {limit.value: round(share, 3) for limit, share in stage.shares.items()},
            "bottleneck": stage.limit.value,
            "evidence": evidence(stage.shares, stage.limit),
            "advice": advice(stage.stage, stage.limit, self.has_confluent),
        }

    def _latency(self) -> dict[str, Any] | None:
        if self.delays is None or self.load is None:
            return None
        delays = self.delays
        return {
            "definition": DEFINITION,
            "rate": {"asked": self.load.rate, "reached": round(delays.reached, 1)},
            "seconds": self.load.seconds,
            "samples": len(delays.times),
            "missing": delays.missing,
            **{f"{name}_ms": _ms(delays.percentile(percent)) for name, percent in _PERCENTILES.items()},
            "cpu_cores": round(delays.cpu, 3),
            "bottleneck": delays.limit.value,
            "advice": LATENCY_ADVICE[delays.limit],
        }


def leftover_json(left: Leftover) -> dict[str, str]:
    """For `-o json`."""
    return {"kind": left.thing.kind.value, "name": left.thing.name, "reason": left.reason, "command": left.command}


def leftover_lines(left: Sequence[Leftover]) -> Iterator[str]:
    """For people: what, why, and how to remove it by hand."""
    for one in left:
        yield f"left behind: {one.thing.kind} {one.thing.name}: {one.reason}"
        yield f"    {one.command}"
    if left:
        yield "`cdc bench --clean` tries it again"


def things_lines(things: Sequence[Thing]) -> Iterator[str]:
    """For people."""
    for thing in things:
        yield f"  {thing.kind} {thing.name}"


def _below(text: str) -> list[str]:
    """Under the figure that it is about, in 80 columns."""
    return textwrap.wrap(text, 80, initial_indent=" " * 6, subsequent_indent=" " * 8, break_on_hyphens=False)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _text(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f} ms"
