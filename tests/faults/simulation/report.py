"""What is told about schedules: the expanded plan of one, the sum of many, and which faults a failure needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.faults.simulation.plan import make_plan
from tests.faults.simulation.stage import simulate
from tests.faults.simulation.world import Outcome


class Summary(NamedTuple):
    """What a worker process sends back about a schedule."""

    seed: int
    violations: list[str]
    steps: int
    happenings: int
    faults: Mapping[str, int]


def summarize(seed: int, without: frozenset[str] = frozenset()) -> Summary:
    """Run a schedule and keep the figures; whatever is raised is a violation too."""
    try:
        outcome = simulate(seed, without)
    except Exception as error:
        return Summary(seed, [f"the run itself failed: {error!r}"], 0, 0, {})
    violations = [f"{v.invariant} at {v.at}: {v.what}" for v in outcome.violations]
    return Summary(seed, violations, outcome.steps, len(outcome.history), outcome.faults)


def explain(outcome: Outcome, history: bool) -> list[str]:
    """The plan, every fault that struck, and the violations; numbers in brackets are places in the history."""
    lines = ["plan:", *outcome.plan.expanded(), "what struck:", *outcome.trace]
    if history:
        lines += ["history:", *(f"[{at}] {item}" for at, item in enumerate(outcome.history))]
    found = [f"{v.invariant} at [{v.at}]: {v.what}" for v in outcome.violations]
    return [*lines, "violations:", *(found or ["none"])]


def shrink(seed: int) -> list[str]:
    """The kinds of faults of the plan without which the schedule no longer fails (its invariant)."""
    needed = list(make_plan(seed).faults)
    for kind in list(needed):
        without = frozenset(make_plan(seed).faults) - (set(needed) - {kind})
        if simulate(seed, frozenset(without)).violations:
            needed.remove(kind)
    return needed
