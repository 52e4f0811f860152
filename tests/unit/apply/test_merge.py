"""Merging a batch."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.apply.merge import OnDelete, _merge, merge
from tests.support.changes import delete, upsert

changes = st.builds(
    upsert, st.sampled_from("abcde"), st.integers(1, 9), st.sampled_from(["g.a", "g.a", "g.a", "g.z"])
) | st.builds(delete, st.sampled_from("abcde"), st.integers(1, 9))


@pytest.mark.requirement("R8.2", "R5.5")
def test_the_newest_change_of_a_document_wins_in_any_order() -> None:
    history = [upsert("a", 1), upsert("a", 2), delete("a", 3), upsert("a", 4)]
    for changes in permutations(history):
        merged = merge(changes, "delete")
        assert [table.upserts for table in merged.tables] == [[history[3]]]
        assert [table.deletes for table in merged.tables] == [[]]
        assert merged.merged == 3


def test_tables_come_in_name_order_and_documents_of_different_type_stay_apart() -> None:
    merged = merge([upsert("1", 1, "g.z"), upsert("1", 2, "g.a"), upsert("1", 3, "g.a", "int")], "delete")
    assert [(table.table, len(table.upserts)) for table in merged.tables] == [("g.a", 2), ("g.z", 1)]
    assert merged.merged == 0
    assert merged.upserts == 3


def test_superseded_changes_are_handed_out_from_the_newest_to_the_oldest() -> None:
    one, two, three = (upsert("a", at) for at in (1, 2, 3))
    merged = merge([two, three, one], "delete")
    assert merged.merged == 2
    assert [merged.next_after(change) for change in (three, two, one)] == [two, one, None]
    assert merged.merged == 0


def test_a_copy_of_the_same_event_is_no_successor_of_itself() -> None:
    change = upsert("a", 1)
    merged = merge([change, change._replace(source="again")], "delete")
    assert merged.merged == 1
    assert merged.next_after(change) is None


def test_ignored_deletes_are_counted_and_supersede_nothing() -> None:
    merged = merge([upsert("a", 1), delete("a", 2), delete("b", 3)], "ignore")
    assert (merged.ignored, merged.merged, merged.upserts) == (2, 0, 1)


def test_a_soft_delete_keeps_the_last_document_that_came_with_it() -> None:
    changes = [upsert("a", 1), upsert("a", 2), delete("a", 3), delete("a", 4)]
    (table,) = merge(changes, "soft").tables
    assert (table.upserts, table.deletes) == ([changes[1]], [changes[3]])
    assert merge(changes, "soft").merged == 2


def test_an_empty_batch_has_no_tables() -> None:
    assert merge([], "delete").tables == []


@given(st.lists(changes, max_size=5), st.sampled_from(["delete", "soft", "ignore"]))
def test_batches_that_need_no_merging_are_found_to_be_so(batch: Any, on_delete: OnDelete) -> None:
    assert merge(batch, on_delete) == _merge(batch, on_delete)


def test_a_batch_is_not_changed_by_what_is_taken_out_of_its_tables() -> None:
    batch = [upsert("a", 1), upsert("b", 2)]
    merge(batch, "delete").tables[0].upserts.clear()
    assert len(batch) == 2
