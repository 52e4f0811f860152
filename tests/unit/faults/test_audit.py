"""The audit trail's reading: stale tombstones are harmless, rows that go back or vanish through them are not."""

from __future__ import annotations

from tests.faults.invariants import rows_never_go_back
from tests.faults.longrun.audit import effects


def test_a_tombstone_older_than_its_row_changes_nothing() -> None:
    noted = [("d", "3", "written"), ("d", "2", "buried"), ("d", "4", "written")]
    assert rows_never_go_back(effects(noted)) == []


def test_a_row_removed_by_an_older_delete_went_back() -> None:
    noted = [("d", "3", "written"), ("d", "2", "buried"), ("d", "3", "removed")]
    assert len(rows_never_go_back(effects(noted))) == 1


def test_a_row_that_comes_back_from_before_its_delete_went_back() -> None:
    noted = [("d", "1", "written"), ("d", "2", "buried"), ("d", "1", "removed"), ("d", "1", "written")]
    assert len(rows_never_go_back(effects(noted))) == 1


def test_a_delete_and_a_new_life_are_in_order() -> None:
    noted = [("d", "1", "written"), ("d", "2", "buried"), ("d", "1", "removed"), ("d", "3", "written")]
    assert rows_never_go_back(effects(noted)) == []
