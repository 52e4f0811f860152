"""Put a mutant in, look for somebody who notices."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import NamedTuple

from tests.faults.mutants.catalogue import Mutant
from tests.faults.simulation.report import summarize

SCHEDULES = 1500
"""So many schedules at most; a mutant that survives them is not caught."""
VARIABLE = "CDC_MUTANT"


class Verdict(NamedTuple):
    """Who noticed, and how long it took; `killed_by` is empty when nobody did."""

    mutant: str
    killed_by: str
    seconds: float


def hunt(mutant: Mutant) -> Verdict:
    """Run the simulation, or the named test, on the program with this bug in it."""
    began = time.monotonic()
    killed_by = _by_test(mutant) if mutant.test else _by_simulation(mutant)
    return Verdict(mutant.name, killed_by, time.monotonic() - began)


def _by_simulation(mutant: Mutant) -> str:
    """A seed counts only when the program without the bug passes it."""
    for seed in range(mutant.seed, mutant.seed + SCHEDULES):
        with mutant.apply():
            summary = summarize(seed)
        if summary.violations and not summarize(seed).violations:
            return f"simulation, seed {seed}: {summary.violations[0][:90]}"
    return ""


def _by_test(mutant: Mutant) -> str:
    """In a process of its own, where the plugin puts the mutant in before any test is imported."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-p", "tests.faults.mutants.plugin")
    command = [sys.executable, "-m", "pytest", *options, mutant.test]
    environment = {**os.environ, VARIABLE: mutant.name}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
    return f"{failed[0].removeprefix('FAILED ').split(' - ')[0]}" if run.returncode == 1 and failed else ""
