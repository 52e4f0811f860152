"""The text format of COPY."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.apply import Change
from cdc_cli.apply.staging import bad_line, document_bytes, encode, in_pieces
from tests.support.changes import delete, upsert

_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t"}


def decode(line: bytes) -> list[bytes]:
    """What PostgreSQL reads from a line."""
    fields = line.split(b"\t")
    return [re.sub(rb"\\.", lambda found: _ESCAPES[found[0]], value) for value in fields]


@given(st.lists(st.tuples(st.binary(), st.binary(min_size=1)), min_size=1, max_size=5))
def test_any_bytes_survive_the_text_format(values: list[tuple[bytes, bytes]]) -> None:
    changes = [upsert("a", 1)._replace(id=id_, document=document) for id_, document in values]
    lines = encode(7, changes).split(b"\n")
    assert lines.pop() == b""
    assert [decode(line) for line in lines] == [
        [b"7", change.id, b"string", change.position, b"%d" % change.time_ms, change.document]
        for change in changes
    ]


def test_what_copy_takes_for_a_sign_of_its_own_is_sent_as_text() -> None:
    changes = [upsert("a", 1)._replace(id=id_) for id_ in (b"\\.", b"\\N")]
    assert [line.split(b"\t")[1] for line in encode(1, changes).splitlines()] == [b"\\\\.", b"\\\\N"]


@pytest.mark.parametrize(
    ("context", "line"),
    [
        ("JSON data, line 1: {...\nCOPY cdc_staging, line 14, column document: ...", 14),
        ("COPY cdc_staging, Zeile 3", 3),
        ("cdc_stagingのCOPY、行 8", 8),
        ("SQL statement \"INSERT INTO x\"", None),
        (None, None),
    ],
)
def test_the_bad_line_is_found_in_the_context_of_the_error(context: str | None, line: int | None) -> None:
    assert bad_line(context) == line


@given(st.lists(st.sampled_from([0, 10, 100_000, 200_000, 1_500_000]), max_size=12))
def test_pieces_together_are_the_lines_of_the_whole(sizes: list[int]) -> None:
    changes = [upsert(f"k{at}", at)._replace(document=b"\\" * size) for at, size in enumerate(sizes)]
    assert b"".join(in_pieces(changes, partial(encode, 7))) == encode(7, changes)


def test_small_documents_are_encoded_at_once_and_large_ones_when_they_are_taken() -> None:
    encoded: list[int] = []

    def noting(some: Sequence[Change]) -> bytes:
        encoded.append(len(some))
        return encode(7, some)

    in_pieces([upsert(f"k{at}", at, text="x" * 400) for at in range(1000)], noting)
    assert encoded == [1000]
    encoded.clear()
    pieces = in_pieces([upsert(f"k{at}", at, text="x" * 600_000) for at in range(3)], noting)
    assert encoded == []
    assert next(pieces).startswith(b"7\tk0\t")
    assert encoded == [1]


def test_a_delete_has_no_document_to_count() -> None:
    assert document_bytes([delete("a", 1), upsert("b", 2)._replace(document=b"123")]) == 3
