"""Thousands of seeded schedules of the real loops on servers that misbehave; a failure tells its seed and its plan."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults.simulation.plan import FAULTS
from tests.faults.simulation.report import explain, shrink, summarize
from tests.faults.simulation.stage import simulate

SCHEDULES = 1500
SECONDS = 40.0
FIRST = int(os.environ.get("CDC_SIMULATION_SEED", "1"))
"""Another range of seeds for a nightly run."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_no_schedule_breaks_an_invariant() -> None:
    began = time.monotonic()
    faults: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + SCHEDULES):
        summary = summarize(seed)
        faults.update(summary.faults)
        if summary.violations:
            plan = "\n".join(explain(simulate(seed), history=False))
            replay = f"python -m tests.faults.simulation --seed {seed} --verbose"
            pytest.fail(f"{plan}\nneeds: {', '.join(shrink(seed))}\nreplay: {replay}", pytrace=False)
        if time.monotonic() - began > SECONDS and seed - FIRST >= 200:
            break
    assert set(faults) == set(FAULTS), f"never struck: {set(FAULTS) - set(faults)}"


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Also where `hash` of text differs, which makes sets and dictionaries iterate differently."""
    code = "import logging; logging.disable(); from tests.faults.simulation.stage import simulate\n"
    code += "for seed in (7, 31, 45): o = simulate(seed); print(o.steps, o.seconds, [len(str(h)) for h in o.history])"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, text=True,
            check=True,
        ).stdout
        for salt in ("1", "2", "3")
    }  # fmt: skip
    assert len(runs) == 1, runs


def test_leaving_out_a_fault_leaves_the_rest_of_the_plan_as_it_was() -> None:
    outcome = simulate(7)
    kind = next(iter(outcome.plan.faults))
    other = simulate(7, frozenset({kind}))
    assert other.plan.faults == {k: rate for k, rate in outcome.plan.faults.items() if k != kind}
    assert other.plan.changes == outcome.plan.changes
    assert kind not in other.faults
