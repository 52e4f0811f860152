"""Durations and sizes: what is written is what is meant, and guessing a unit is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.settings.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("5m", 300), ("2h", 7200), ("7d", 604800), (0, 0)]
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("512KiB", 524288), ("16MiB", 1 << 24), ("1GB", 10**9), ("5B", 5), (0, 0)])
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        5,
        5.0,
        True,
        False,
        "5",
        "s",
        "-5s",
        "5 weeks",
        "5S",
        None,
        [],
        "1e3s",
        "5s5s",
        "9" * 400 + "d",
        "9" * 400 + "GiB",
    ],
)
def test_what_has_no_unit_is_refused(text: object) -> None:
    for parse in (parse_duration, parse_size):
        with pytest.raises(ValueError, match="with a unit"):
            parse(text)


@given(st.integers(0, 10**12))
def test_the_written_form_is_read_back(number: int) -> None:
    assert parse_size(format_size(number)) == number
    assert round(parse_duration(format_duration(number / 1000)) * 1000) == number
