"""A short seed of the long run; `python -m tests.faults --minutes 10` is the whole one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.longrun.run import LongRun, Options
from tests.faults.longrun.site import Site

SEED = int(os.environ.get("CDC_TEST_SEED", str(random.SystemRandom().randrange(10**6))))


@pytest.mark.requirement("R2.1", "R2.5", "R3.1", "R4.5", "R5.4", "R6.5", "R8.1", "R8.2", "R8.5", "R9.1", "R12.5")
@pytest.mark.timeout(600)
def test_nothing_is_lost_whatever_breaks(site: Site, tmp_path: Path) -> None:
    print(f"CDC_TEST_SEED={SEED}")
    run = LongRun(Options(SEED, 30.0, tmp_path, rate=120.0))
    figures = run.run(site)
    print(figures.table())
    assert not figures.failures, "\n".join([figures.table(), run.explain(), f"CDC_TEST_SEED={SEED}"])
