"""The file that COPY reads from."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.apply.session import _Pieces


@given(st.lists(st.binary(max_size=20)), st.integers(1, 9))
def test_what_is_read_is_what_the_pieces_are_in_reads_of_no_more_than_was_asked_for(
    pieces: list[bytes], size: int
) -> None:
    file, got = _Pieces(pieces), b""
    while data := file.read(size):
        assert len(data) <= size
        got += data
    assert got == b"".join(pieces)
    assert file.read(size) == b""


def test_a_piece_is_made_only_when_the_one_before_it_has_been_read() -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"abcd"

    file = _Pieces(pieces())
    assert made == []
    assert (file.read(3), file.read(3), made) == (b"abc", b"d", [0])
    assert (file.read(9), made) == (b"abcd", [0, 1])
