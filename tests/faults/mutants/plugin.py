"""A pytest plugin that puts one mutant in for the whole run: the one named by CDC_MUTANT."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from tests.faults.mutants.catalogue import MUTANTS
from tests.faults.mutants.hunt import VARIABLE

_mutants = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    wanted = os.environ[VARIABLE]
    _mutants.enter_context(next(mutant for mutant in MUTANTS if mutant.name == wanted).apply())
    config.add_cleanup(_mutants.close)
