"""Each checker on a good history and on bad ones: a checker that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.history import (
    Acked,
    Appended,
    Buried,
    Changed,
    Counted,
    Happening,
    Missing,
    OffsetCommitted,
    OffsetStored,
    Overdue,
    Resumed,
    Rewound,
    TokenSaved,
    Unbounded,
    Written,
)
from tests.faults.invariants import (
    Violation,
    bounded,
    conservation,
    final_state,
    judge,
    lively,
    log_in_order,
    nothing_lost,
    offsets_never_ahead,
    rows_never_go_back,
    token_never_ahead,
)

PLACE = ("cdc.game.players", 0)


def changed(index: int, document: str = "a", state: str | None = "", planted: bool = False) -> Changed:
    return Changed(index, document, f"p{index}", f"v{index}" if state == "" else state, planted)


def appended(offset: int, index: int, document: str = "a", life: int = 1, key: bytes = b"") -> Appended:
    return Appended(life, PLACE, offset, key or document.encode(), f"p{index}", document)


def written(index: int, document: str = "a", state: str | None = "") -> Written:
    return Written(document, f"p{index}", f"v{index}" if state == "" else state)


GOOD: Sequence[Happening] = (
    Resumed(1, -1),
    changed(0),
    changed(1, "b"),
    changed(2, state=None),
    appended(0, 0),
    appended(1, 1, "b"),
    Acked("p0"),
    Acked("p1"),
    TokenSaved(1, 1),
    written(0),
    OffsetStored(PLACE, 1),
    OffsetCommitted(PLACE, 1),
    Resumed(2, 1),
    appended(2, 2, life=2),
    appended(3, 2, life=2),
    Acked("p2"),
    TokenSaved(2, 2),
    written(1, "b"),
    written(2, state=None),
    OffsetStored(PLACE, 4),
    OffsetCommitted(PLACE, 4),
    Counted(2, "watch", {"read": 3, "published": 2, "replayed": 1, "in_flight": 0}),
    Counted(1, "sync", {"consumed": 4, "inserted": 2, "deleted": 1, "stale": 1}),
)


def said(violations: Sequence[Violation]) -> str:
    return " | ".join(f"{violation.invariant} {violation.what}" for violation in violations)


def test_a_history_without_faults_has_no_violation() -> None:
    assert judge(GOOD) == []


def test_i1_a_row_that_differs_from_its_document_is_found() -> None:
    assert "a is 'old' in PostgreSQL and 'v0'" in said(final_state([changed(0), written(0, state="old")]))


def test_i1_a_document_without_a_row_is_found() -> None:
    assert "a is None in PostgreSQL and 'v0'" in said(final_state([changed(0)]))


def test_i1_a_row_whose_document_was_deleted_is_found() -> None:
    assert "a is 'v0' in PostgreSQL and None" in said(final_state([changed(0), written(0), changed(1, state=None)]))


def test_i1_a_row_that_never_was_a_document_is_found() -> None:
    assert "never was a document" in said(final_state([written(0, "ghost")]))


def test_i1_a_good_change_among_the_dead_letters_is_found() -> None:
    history = [changed(0), appended(0, 0), Buried(None, PLACE, 0, "x"), written(0)]
    assert "the good change at p0 was dead-lettered" in said(final_state(history))


def test_i1_a_planted_change_may_be_dead_lettered_and_then_its_row_may_differ() -> None:
    assert final_state([changed(0), written(0), changed(1, planted=True), Buried("p1", None, None, "x")]) == []


def test_i1_a_planted_change_that_simply_vanished_is_found() -> None:
    assert "a is 'v0'" in said(final_state([changed(0), written(0), changed(1, planted=True)]))


def test_i1_an_update_whose_look_up_met_a_later_planted_document_may_be_buried() -> None:
    history = [changed(0), changed(1, planted=True), Buried("p0", None, None, "x"), Buried("p1", None, None, "x")]
    assert final_state(history) == []


def test_i2_an_acknowledged_change_that_never_arrived_is_found() -> None:
    assert "the change 1 of b at p1 is lost" in said(nothing_lost([changed(0), changed(1, "b"), written(0)]))


def test_i2_a_change_may_be_superseded_by_a_later_one_or_buried() -> None:
    history = [changed(0), changed(1), written(1), changed(2, "b", planted=True), Buried("p2", None, None, "x")]
    assert nothing_lost(history) == []


def test_i2_what_a_restored_database_forgot_and_nobody_wrote_again_is_found() -> None:
    history = [changed(0), written(0), Rewound({}, {})]
    assert "the change 0 of a" in said(nothing_lost(history))
    assert nothing_lost([*history, written(0)]) == []


def test_i3_a_row_that_goes_back_is_found() -> None:
    assert "a went back from p2 to p1" in said(rows_never_go_back([written(2), written(1)]))


def test_i3_an_old_insert_that_raises_a_deleted_document_is_found() -> None:
    assert "went back" in said(rows_never_go_back([written(2, state=None), written(1)]))


def test_i3_a_new_insert_after_the_delete_is_fine_and_documents_do_not_mix() -> None:
    assert rows_never_go_back([written(2, state=None), written(3), written(1, "b")]) == []


def test_i3_a_restored_database_starts_from_what_it_holds() -> None:
    assert rows_never_go_back([written(3), Rewound({"a": ("p1", "v1")}, {}), written(2)]) == []
    assert rows_never_go_back([written(3), Rewound({"a": ("p2", "v2")}, {}), written(1)]) != []


def test_i4_a_token_past_an_unacknowledged_change_is_found_even_when_the_ack_comes_later() -> None:
    history = [changed(0), changed(1), Acked("p1"), TokenSaved(1, 1), Acked("p0")]
    assert "skips 1 changes that Kafka has not acknowledged, the first is 0" in said(token_never_ahead(history))


def test_i4_a_record_in_the_log_is_not_yet_acknowledged() -> None:
    assert token_never_ahead([changed(0), appended(0, 0), TokenSaved(1, 0)]) != []


def test_i4_a_token_before_the_first_unacknowledged_change_is_fine() -> None:
    assert token_never_ahead([changed(0), changed(1), Acked("p0"), TokenSaved(1, 0)]) == []


def test_i5_an_offset_past_a_record_that_is_not_written_is_found_even_when_it_is_written_later() -> None:
    history = [appended(0, 0), appended(1, 1, "b"), written(1, "b"), OffsetStored(PLACE, 2), written(0)]
    assert "passes 0 (a at p0), which is neither written nor buried" in said(offsets_never_ahead(history))


def test_i5_a_row_that_is_newer_covers_the_record() -> None:
    assert offsets_never_ahead([appended(0, 0), written(3), OffsetStored(PLACE, 1)]) == []


def test_i5_a_buried_record_and_one_without_a_document_are_passed() -> None:
    junk = Appended(-1, PLACE, 1, b"?", None, None)
    history = [appended(0, 0), junk, Missing("p0"), Buried(None, PLACE, 1, "x"), OffsetStored(PLACE, 2)]
    assert offsets_never_ahead(history) == []


def test_i5_junk_that_nobody_buried_is_found() -> None:
    assert offsets_never_ahead([Appended(-1, PLACE, 0, b"?", None, None), OffsetStored(PLACE, 1)]) != []


def test_i5_kafka_must_not_be_told_more_than_postgresql_knows() -> None:
    history = [appended(0, 0), written(0), OffsetCommitted(PLACE, 1), OffsetStored(PLACE, 1)]
    assert "Kafka was told 1" in said(offsets_never_ahead(history))


def test_i5_after_a_restore_the_offsets_of_then_count() -> None:
    history = [appended(0, 0), written(0), OffsetStored(PLACE, 1), Rewound({}, {}), OffsetStored(PLACE, 1)]
    assert "passes 0" in said(offsets_never_ahead(history))


def test_i6_a_change_that_overtakes_an_earlier_one_of_its_document_is_found() -> None:
    history = [changed(0), changed(1), appended(0, 1), appended(1, 0)]
    assert "change 0 of a stands behind change 1" in said(log_in_order(history))


def test_i6_a_skipped_change_is_found() -> None:
    history = [changed(0), changed(1), changed(2), appended(0, 0), appended(1, 2)]
    assert "change 1 of a was skipped" in said(log_in_order(history))


def test_i6_other_documents_may_stand_in_any_order() -> None:
    assert log_in_order([changed(0), changed(1, "b"), appended(0, 1, "b"), appended(1, 0)]) == []


def test_i6_a_repeat_from_before_the_token_is_found_and_one_from_behind_it_is_not() -> None:
    history = [changed(0), changed(1), appended(0, 0), appended(1, 1), Resumed(2, 0)]
    assert log_in_order([*history, appended(2, 1, life=2)]) == []
    assert "change 0 repeated from before the token" in said(log_in_order([*history, appended(2, 0, life=2)]))


def test_i6_two_documents_with_one_key_and_records_of_no_change_are_found() -> None:
    history = [changed(0), changed(1, "b"), appended(0, 0, key=b"k"), appended(1, 1, "b", key=b"k")]
    assert "a and b share the key" in said(log_in_order(history))
    assert "a record of a at p7 is no change" in said(log_in_order([appended(0, 7)]))


def test_i6_what_was_set_aside_the_first_time_may_come_late_the_second_time() -> None:
    history = [changed(0), changed(1, planted=True), changed(2), Buried("p0", None, None, "x"), appended(0, 2)]
    assert log_in_order([*history, Buried("p1", None, None, "x"), appended(1, 0)]) == []


def test_i7_what_exceeds_its_cap_is_found() -> None:
    assert "queue: 12, the cap is 10" in said(bounded([Unbounded("queue", 12, 10)]))


def test_i8_what_is_overdue_is_found() -> None:
    assert "watch did not end (waited 30 s)" in said(lively([Overdue("watch did not end", 30.0)]))


def test_i9_a_change_that_no_counter_knows_any_more_is_found() -> None:
    lost = Counted(1, "watch", {"read": 5, "published": 3, "replayed": 0, "in_flight": 1})
    assert "5 came in, 4 are accounted for" in said(conservation([lost]))
    twice = Counted(1, "sync", {"consumed": 1, "inserted": 1, "stale": 1})
    assert "1 came in, 2 are accounted for" in said(conservation([twice]))


def test_before_the_drain_only_what_holds_at_every_moment_is_judged() -> None:
    assert judge([changed(0)], drained=False) == []
    assert {violation.invariant for violation in judge([changed(0)])} == {"I1", "I2"}


def test_i5_an_offset_may_go_back_and_kafka_may_still_be_told_what_was_stored_before() -> None:
    history = [appended(0, 0), written(0), OffsetStored(PLACE, 1), OffsetStored(PLACE, 0), OffsetCommitted(PLACE, 1)]
    assert offsets_never_ahead(history) == []
