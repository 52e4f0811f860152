"""How long a fault went unnoticed, and how long the pipeline took to recover from it; by kind of fault. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.faults.longrun.plan import Fault
from tests.faults.longrun.signs import REBALANCES, Sign

_AFFECTED = {"mongodb": ("watch",), "redis": ("watch",), "watch": ("watch",), "postgres": ("sync",), "sync": ("sync",)}
"""Whose signs count for a fault of that target; for others both."""
_REBALANCING = frozenset({"kafka", "sync", "all"})
"""What makes the group share its partitions anew; else a rebalance is what is left of an earlier fault."""


class Times(NamedTuple):
    """Of one episode: seconds from the first fault to the first sign (None = absorbed, nobody could see it), what the
    sign was, and seconds from the heal to changes made after it standing in PostgreSQL, in all partitions."""

    name: str
    detected: float | None
    by: str
    recovered: float


def name_of(faults: Sequence[Fault]) -> str:
    """What the episode is counted under: faults at once cannot be told apart by their signs."""
    return faults[0].name if len(faults) == 1 else f"{len(faults)} faults at once"


def first_sign(signs: Sequence[Sign], faults: Sequence[Fault], began: float, ended: float) -> Sign | None:
    """The first one of a process that a fault concerns, between the first fault and the recovery."""
    targets = {fault.target for fault in faults}
    affected = {service for target in targets for service in _AFFECTED.get(target, ("watch", "sync"))}

    def counts(sign: Sign) -> bool:
        is_due = sign.text != REBALANCES or bool(targets & _REBALANCING)
        return is_due and began <= sign.at <= ended and sign.process.split()[0] in affected

    return next(filter(counts, sorted(signs)), None)


class Summary(NamedTuple):
    """p50, p95 and the maximum of some seconds; all None when there are none."""

    p50: float | None
    p95: float | None
    largest: float | None

    def __str__(self) -> str:
        return " ".join(f"{'-' if value is None else f'{value:.1f}':>6}" for value in self)


def summary(values: Sequence[float]) -> Summary:
    """The nearest rank: of few values the p95 is the largest."""
    found = sorted(values)
    if not found:
        return Summary(None, None, None)
    p50, p95 = (found[math.ceil(share * len(found)) - 1] for share in (0.5, 0.95))
    return Summary(p50, p95, found[-1])


class Row(NamedTuple):
    """All episodes of one name."""

    name: str
    n: int
    absorbed: int
    detected: Summary
    by: str
    recovered: Summary

    def __str__(self) -> str:
        return f"{self.name:22} {self.n:4} {self.absorbed:8} {self.detected}  {self.by:16} {self.recovered}"

    def to_json(self) -> dict[str, Any]:
        fields = {**self._asdict(), "detected": self.detected._asdict(), "recovered": self.recovered._asdict()}
        return {**fields, "by": self.by.split()}


def rows(times: Sequence[Times]) -> list[Row]:
    """One for each name, and one for all."""
    by_name: dict[str, list[Times]] = defaultdict(list)
    for one in times:
        by_name[one.name].append(one)
    return [_row(name, found) for name, found in [*sorted(by_name.items()), *([("all", list(times))] if times else [])]]


def table(times: Sequence[Times]) -> str:
    """For people; seconds."""
    head = f"{'p50':>6} {'p95':>6} {'max':>6}"
    lines = [
        f"{'seconds':22} {'':4} {'':8} {'to detect':^20}  {'':16} {'to recover':^20}",
        f"{'fault':22} {'n':>4} {'absorbed':>8} {head}  {'seen by':16} {head}",
    ]
    return "\n".join([*lines, *map(str, rows(times))])


def _row(name: str, times: Sequence[Times]) -> Row:
    seen = [one.detected for one in times if one.detected is not None]
    kinds = Counter(one.by for one in times if one.by)
    by = " ".join(kind for kind, _ in kinds.most_common())
    return Row(name, len(times), len(times) - len(seen), summary(seen), by, summary([one.recovered for one in times]))
