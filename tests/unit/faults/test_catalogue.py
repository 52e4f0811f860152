"""tests/faults/README.md names only what exists, and leaves no row without an answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cdc_cli.failpoints import POINTS
from tests.faults.mutants.catalogue import MUTANTS
from tests.faults.simulation.plan import FAULTS

TESTS = Path(__file__).parents[2]
README = TESTS / "faults" / "README.md"
ROWS = re.findall(r"^\| (\d+) \| ([^|]+) \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
NAMED = re.findall(r"`([^`]+)`", " ".join(row[2] for row in ROWS))


def test_every_fault_has_a_row_with_an_answer() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 71))
    assert all("`" in answer or answer.startswith("No test") for _, _, answer in ROWS)


@pytest.mark.parametrize("name", sorted({name for name in NAMED if "::" in name}))
def test_the_named_test_exists(name: str) -> None:
    path, test = name.split("::")
    found = [base / path for base in (TESTS, TESTS / "faults") if (base / path).is_file()]
    assert found, f"there is no file {path}"
    assert re.search(rf"^\s*def {re.escape(test)}\(", found[0].read_text(encoding="utf-8"), re.MULTILINE), test


def test_the_named_kinds_of_faults_mutants_and_failpoints_exist() -> None:
    known = {f"simulation {kind}" for kind in FAULTS}
    known |= {f"mutant {mutant.name}" for mutant in MUTANTS} | {f"failpoint {point}" for point in POINTS}
    injector = (TESTS / "faults" / "longrun" / "inject.py").read_text(encoding="utf-8")
    known |= {f"long run {kind}" for kind in re.findall(r'"([a-z ]+)": ', injector)}
    spoken = {name for name in NAMED if name.split(" ")[0] in ("simulation", "mutant", "failpoint")}
    spoken |= {name for name in NAMED if name.startswith("long run ")}
    assert spoken <= known, spoken - known


def test_every_mutant_is_named_in_the_catalogue() -> None:
    beyond = {"bad change skipped", "first start moves", "dead letter not awaited", "failed write passed over"}
    beyond |= {"versions of the record before", "untold offsets forgotten", "offsets stored by a former owner"}
    beyond |= {"COPY without key", "COPY in any order", "COPY without tombstones"}
    assert {mutant.name for mutant in MUTANTS} - beyond <= {n.removeprefix("mutant ") for n in NAMED}
