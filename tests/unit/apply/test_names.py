"""Names in PostgreSQL."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.apply.names import LIMIT, PARTITION_LOCKS, LockClass, partition_lock, quote, table_name


def test_a_table_is_called_like_its_collection_when_one_database_is_synced() -> None:
    assert table_name("game.players", "game") == "players"
    assert table_name("game.system.buckets.x", "game") == "system.buckets.x"


def test_a_table_carries_its_database_when_several_are_synced() -> None:
    assert table_name("game.players", None) == "game.players"


@given(st.text(alphabet="aé€𝄞.", min_size=1, max_size=80))
def test_a_name_never_exceeds_what_postgresql_keeps(collection: str) -> None:
    name = table_name(f"game.{collection}", "game")
    assert len(name.encode()) <= LIMIT
    assert (name == collection) == (len(collection.encode()) <= LIMIT)


def test_two_long_names_that_begin_alike_stay_two_tables() -> None:
    assert table_name("game." + "x" * 70, "game") != table_name("game." + "x" * 71, "game")


def test_quotes_inside_an_identifier_are_doubled() -> None:
    assert quote('x"; DROP TABLE y; --') == '"x""; DROP TABLE y; --"'


@given(st.text(), st.text(), st.integers(0, 10_000))
def test_lock_numbers_fit_and_a_group_uses_few_of_them(group: str, topic: str, number: int) -> None:
    key = partition_lock(group, topic, number)
    assert 0 <= key < 2**31
    assert key // PARTITION_LOCKS == partition_lock(group, "other", 7) // PARTITION_LOCKS
    assert all(0 <= kind < 2**31 for kind in LockClass)
