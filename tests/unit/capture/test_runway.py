"""The runway is arithmetic; what MongoDB reports is in tests/integration/test_position_probe.py."""

from __future__ import annotations

import pytest

from cdc_cli.capture.runway import Oplog

FIRST = 1_000_000
HOUR = 3600


def _oplog(**fields: float) -> Oplog:
    """A full oplog of ten hours with 10 MB an hour."""
    given = {"size": 100_000_000, "max_size": 100_000_000, "min_retention": 0.0} | fields
    last, rate = FIRST + 10 * HOUR, 20_000_000 / HOUR
    return Oplog((FIRST, 1), (last, 1), int(given["size"]), int(given["max_size"]), float(last), rate,
                 given["min_retention"])  # fmt: skip


def test_the_newest_position_of_a_full_oplog_has_the_whole_window() -> None:
    assert _oplog().runway((FIRST + 10 * HOUR, 1)) == pytest.approx(10 * HOUR)


def test_a_position_in_the_middle_has_half_of_it_and_a_quarter_at_twice_the_rate() -> None:
    oplog, middle = _oplog(), (FIRST + 5 * HOUR, 1)
    assert oplog.runway(middle) == pytest.approx(5 * HOUR)
    assert oplog.runway(middle, oplog.recent_rate) == pytest.approx(2.5 * HOUR)


def test_what_is_still_free_counts_too() -> None:
    assert _oplog(max_size=150_000_000).runway((FIRST, 1)) == pytest.approx(5 * HOUR)


def test_an_oplog_over_its_size_has_nothing_free() -> None:
    assert _oplog(max_size=50_000_000).runway((FIRST, 1)) == 0


def test_a_position_before_the_oplog_has_no_runway() -> None:
    assert _oplog(max_size=10**12).runway((FIRST, 0)) == 0


def test_a_minimum_retention_holds_even_against_a_high_rate() -> None:
    oplog = _oplog(min_retention=12 * HOUR)
    assert oplog.runway((FIRST + 10 * HOUR, 1), 1e12) == pytest.approx(12 * HOUR)


def test_an_oplog_of_one_moment_and_no_writing_are_no_division_by_zero() -> None:
    oplog = Oplog((FIRST, 1), (FIRST, 1), 100, 1000, float(FIRST), 0.0)
    assert oplog.runway((FIRST, 1)) > 0
    assert oplog.runway((FIRST, 1), 0.0) > 0
