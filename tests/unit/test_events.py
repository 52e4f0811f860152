"""The words: positions order as text exactly as they order as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.events import Position

U32 = st.integers(0, 2**32 - 1)
positions = st.builds(Position, U32, U32, st.integers(0, 10**10 - 1))


@given(positions, positions)
def test_positions_compare_as_text_like_they_compare_as_numbers(one: Position, other: Position) -> None:
    assert (one < other) == (one.text.encode() < other.text.encode())


@given(positions)
def test_a_position_comes_back_from_its_text(position: Position) -> None:
    assert Position.parse(position.text) == position


@pytest.mark.parametrize("text", ["", "1.2.3", "1764046833.0000000002", "x" * 32, "1764046833.0000000002.000000000"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Position.parse(text)


def test_events_of_one_cluster_time_are_counted_and_the_next_time_starts_again() -> None:
    first = Position(10, 1, 0)
    second = first.next_ordinal(10, 1)
    assert second == (10, 1, 1)
    assert second.next_ordinal(10, 2) == (10, 2, 0)
