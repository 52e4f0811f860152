"""The text format of COPY."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.apply.staging import bad_line, encode
from tests.support.changes import upsert

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
