"""When a batch goes straight into its tables, and the lines that it goes as."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.apply import Change
from cdc_cli.apply.direct import Direct, declined, encode
from cdc_cli.apply.merge import Merged, TableChanges, merge
from cdc_cli.apply.statements import Target
from tests.support.changes import PLAYERS, delete, upsert

LAST = 2**32 * 1000 - 1
Todo = list[tuple[TableChanges, Target]]


def batch(*changes: Change, partitioned: bool = False) -> tuple[Merged, Todo]:
    merged = merge(changes, "delete")
    tables = enumerate(merged.tables)
    todo = [(table, Target(at, table.table, "public", f"t{at}", partitioned, False)) for at, table in tables]
    return merged, todo


INSERTS = [upsert(f"k{at}", at) for at in range(3)]
NEW = batch(*INSERTS)


def tries(direct: Direct) -> bool:
    return direct.may_try(*NEW, 2)


def inserts(direct: Direct, batches: int) -> None:
    for _ in range(batches):
        direct.learn(3, 3)


def batches_until_it_tries(direct: Direct) -> int:
    """How many more batches of inserts it wants to see."""
    for seen in range(2000):
        if tries(direct):
            return seen
        direct.learn(3, 3)
    raise AssertionError("it never tries")


def test_nothing_is_tried_before_a_batch_of_nothing_but_inserts() -> None:
    direct = Direct()
    assert not tries(direct)
    direct.learn(3, 2)
    assert not tries(direct)
    direct.learn(3, 3)
    assert tries(direct)
    direct.learn(3, 2)
    assert not tries(direct)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (INSERTS, True),
        (INSERTS[:2], False),
        ([*INSERTS, delete("gone", 9)], False),
        ([*INSERTS, upsert("m", 1, "game.matches")], False),
        ([*INSERTS, upsert("m", 1, "game.matches"), upsert("n", 1, "game.matches")], True),
    ],
)
def test_each_table_has_to_be_worth_its_copy_and_nothing_may_be_deleted(changes: list[Change], wanted: bool) -> None:
    direct = Direct()
    inserts(direct, 1)
    assert direct.may_try(*batch(*changes), 2) is wanted


def test_partitions_are_never_copied_into_as_they_are_not_filled_in_key_order() -> None:
    direct = Direct()
    inserts(direct, 1)
    assert not direct.may_try(*batch(*INSERTS, partitioned=True), 2)


def test_each_failure_doubles_the_inserts_that_have_to_come_first_up_to_a_limit() -> None:
    direct = Direct()
    waits = []
    for _ in range(13):
        waits.append(batches_until_it_tries(direct))
        direct.failed()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]


def test_what_goes_well_for_long_is_trusted_more_again() -> None:
    direct = Direct()
    for _ in range(3):
        direct.failed()
    inserts(direct, 8 + 7)
    direct.learn(3, 2)
    assert batches_until_it_tries(direct) == 8
    inserts(direct, 8)
    direct.learn(3, 2)
    assert batches_until_it_tries(direct) == 4
    inserts(direct, 100)
    direct.learn(3, 2)
    assert batches_until_it_tries(direct) == 1


class Refusal(psycopg2.Error):
    def __init__(self, state: str | None) -> None:
        super().__init__("refused")
        self.state = state

    @property
    def pgcode(self) -> str | None:  # type: ignore[override]
        return self.state


@pytest.mark.parametrize(
    ("state", "wanted"),
    [("23505", True), ("22P02", True), ("22021", True), ("54000", True), ("P0001", True), ("0A000", True),
     ("42809", True), ("40P01", False), ("55P03", False), ("57014", False), ("42P01", False), ("42P10", False),
     ("42501", False), ("25006", False), ("53100", False), (None, False)],
)
def test_what_the_other_way_may_take_is_told_from_what_it_cannot_mend(state: str | None, wanted: bool) -> None:
    assert declined(Refusal(state)) is wanted


def test_lines_are_in_key_order_of_the_c_collation() -> None:
    keys = [("a", "x"), ("B", "x"), ("é", "x"), ("1", "long"), ("1", "int"), ("😀", "x"), ("\uffff", "x")]
    changes = [upsert(id_, 1, id_type=id_type) for id_, id_type in keys]
    (lines,) = encode([TableChanges(PLAYERS, changes)]) or []
    got = [tuple(line.split(b"\t")[:2]) for line in b"".join(lines).splitlines()]
    assert got == sorted((id_.encode(), id_type.encode()) for id_, id_type in keys)
    assert [change.id.decode() for change in changes] == [id_ for id_, _ in keys], "the batch is left as it was"


@given(st.integers(0, LAST))
def test_a_time_is_written_as_to_timestamp_of_the_float_would_have_it(time_ms: int) -> None:
    (lines,) = encode([TableChanges(PLAYERS, [upsert("a", 1)._replace(time_ms=time_ms)])]) or []
    written = datetime.fromisoformat(b"".join(lines).split(b"\t")[3].decode())
    postgres_epoch = 946_684_800
    microseconds = round((float(time_ms) / 1000 - postgres_epoch) * 1_000_000)  # what float8_timestamptz computes
    assert written == datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


@pytest.mark.parametrize("time_ms", [-1, LAST + 1, 10**18, -(10**18)])
def test_times_that_floats_do_not_hold_exactly_are_left_to_the_other_way(time_ms: int) -> None:
    assert encode([TableChanges(PLAYERS, [upsert("a", 1)._replace(time_ms=time_ms)])]) is None
