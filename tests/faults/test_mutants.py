"""Every bug that is put back in is noticed: by the simulation, or by the test that is named for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.faults.mutants.catalogue import MUTANTS, Mutant
from tests.faults.mutants.hunt import hunt


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("mutant", [pytest.param(mutant, id=mutant.name) for mutant in MUTANTS])
def test_the_mutant_is_killed(mutant: Mutant) -> None:
    verdict = hunt(mutant)
    assert verdict.killed_by, f"survived {verdict.seconds:.0f} s of looking for it: {mutant.apply.__doc__}"


def test_the_list_of_mutants_is_long_enough_and_each_is_there_once() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 14
