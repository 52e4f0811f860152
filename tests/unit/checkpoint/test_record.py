"""The record: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.checkpoint import TokenRecord
from cdc_cli.checkpoint.record import decode, decode_cluster_time, encode, is_older, place, shown_time
from cdc_cli.errors import PositionLost
from cdc_cli.events import Mark, Position
from tests.support.tokens import BASE, mark, record

numbers = st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False)
values = st.recursive(
    st.none() | numbers | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)
seconds = st.integers(0, 2**32 - 1)
records = st.builds(
    lambda data, at, text, saved: record(
        mark=Mark({"_data": data}, Position(*at), (at[0], at[1]), True), reason=text, saved_at=saved
    ),
    values,
    st.tuples(seconds, seconds, seconds),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(0, 1e11),
)


def _read(data: bytes) -> TokenRecord:
    return decode(data, "file x", "the way out")


@given(records)
def test_every_record_survives_the_bytes(saved: TokenRecord) -> None:
    assert _read(encode(saved)) == saved


@given(st.data())
def test_a_record_cut_anywhere_is_refused(data: st.DataObject) -> None:
    whole = encode(record())
    cut = data.draw(st.integers(0, len(whole) - 2))
    with pytest.raises(PositionLost) as caught:
        _read(whole[:cut])
    assert "file x" in caught.value.message
    assert caught.value.exit_code == 80


@given(st.data())
def test_a_record_with_one_other_byte_is_refused_or_the_same(data: st.DataObject) -> None:
    whole = bytearray(encode(record()))
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] = data.draw(st.integers(0, 255))
    try:
        found = _read(bytes(whole))
    except PositionLost:
        return
    assert found == record()


FOREIGN = ["null", "[]", "1", '"x"', "{}", '{"_data": "826B"}', "[" * 3000, "\ufeff{}"]


@pytest.mark.parametrize("text", FOREIGN)
def test_what_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(PositionLost) as caught:
        _read(text.encode())
    assert caught.value.hint == "the way out"


def _altered(**fields: Any) -> bytes:
    return json.dumps(json.loads(encode(record())) | fields).encode()


def test_a_newer_format_is_refused_and_says_which_version_is_needed() -> None:
    with pytest.raises(PositionLost, match="format 2") as caught:
        _read(_altered(format=2))
    assert caught.value.code == "token.newer_format"


@pytest.mark.parametrize("number", [0, -1, None, "1", True, 1.0])
def test_a_format_that_is_no_number_of_ours_is_refused(number: Any) -> None:
    with pytest.raises(PositionLost):
        _read(_altered(format=number))


def test_a_field_changed_by_hand_is_refused() -> None:
    body = json.loads(encode(record()))["record"]
    with pytest.raises(PositionLost, match="checksum"):
        _read(_altered(record=body | {"position": Position(BASE + 9, 1, 0).text}))


def test_an_empty_file_is_refused_not_taken_for_no_token() -> None:
    with pytest.raises(PositionLost, match="empty"):
        _read(b"")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("82692537F1000000022B0229296E04", (1764046833, 2)),
        ("826B042594000000472B0229296E04", (1795433876, 71)),
        ("82FFFFFFFF00000001", (2**32 - 1, 1)),
    ],
)
def test_the_cluster_time_is_read_from_a_token_for_display(data: str, expected: tuple[int, int]) -> None:
    assert decode_cluster_time({"_data": data}) == expected


@pytest.mark.parametrize("data", ["", "82", "8169253701000000022B", "82zz2537F100000002", b"\x82", None, 5])
def test_a_token_of_another_shape_has_no_time(data: Any) -> None:
    assert decode_cluster_time({"_data": data}) is None
    assert decode_cluster_time({}) is None


def test_only_recorded_times_decide_order_and_a_tokens_own_time_is_only_shown() -> None:
    unknown = mark(5, position=None, cluster_time=None)
    assert place(unknown) is None
    assert shown_time(unknown) == (BASE + 5, 1)
    assert not is_older(record(mark=unknown), record(9))


def test_a_mark_stands_at_the_later_of_its_two_times() -> None:
    quiet = mark(3, position=Position(BASE + 1, 7, 0), cluster_time=(BASE + 3, 1))
    assert place(quiet) == (BASE + 3, 1)


def test_going_back_is_noticed_except_when_an_operator_does_it_or_nothing_is_stored() -> None:
    assert is_older(record(1), record(2))
    assert not is_older(record(2), record(2))
    assert not is_older(record(1), None)
    assert not is_older(record(1, reason="reset"), record(2))
    assert not is_older(record(1, stream="deployment"), record(2))
