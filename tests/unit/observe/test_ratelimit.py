"""Repetitions are counted instead of printed."""

from __future__ import annotations

import logging

import pytest

from cdc_cli.observe.ratelimit import BURST, RateLimit


def record(message: str = "no answer from %s", *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("cdc_cli.x", level, __file__, 1, message, args or ("db1",), None)


def fact() -> logging.LogRecord:
    made = record("applied a batch", level=logging.INFO)
    made.args = None
    made.__dict__["event.action"] = "batch.applied"
    return made


@pytest.fixture
def limit() -> RateLimit:
    return RateLimit()


def texts(records: list[logging.LogRecord]) -> list[str]:
    return [made.getMessage() for made in records]


def test_a_burst_is_printed_and_the_rest_of_the_window_is_not(limit: RateLimit) -> None:
    printed = [limit.admit(record(), 0.1 * number) for number in range(20)]
    assert [len(records) for records in printed] == [1] * BURST + [0] * 15


def test_what_was_left_out_is_counted_when_the_line_comes_again_later(limit: RateLimit) -> None:
    for number in range(12):
        limit.admit(record("no answer from %s", f"db{number}"), 0.0)
    printed = texts(limit.admit(record("no answer from %s", "db99"), 60.0))
    assert printed == ["repeated 7 times more: no answer from db11", "no answer from db99"]


def test_what_was_left_out_is_counted_also_when_the_line_never_comes_again(limit: RateLimit) -> None:
    for _ in range(6):
        limit.admit(record(), 0.0)
    assert limit.due(5.0) == []
    assert texts(limit.due(11.0)) == ["repeated 1 times more: no answer from db1"]
    assert limit.due(30.0) == []


def test_the_end_tells_what_is_still_counted(limit: RateLimit) -> None:
    for _ in range(8):
        limit.admit(record(), 0.0)
    assert texts(limit.rest()) == ["repeated 3 times more: no answer from db1"]
    assert limit.rest() == []


def test_other_lines_are_not_held_back(limit: RateLimit) -> None:
    for _ in range(20):
        limit.admit(record(), 0.0)
    other = [record("something else"), record(level=logging.ERROR)]
    assert [len(limit.admit(made, 0.0)) for made in other] == [1, 1]


def test_facts_are_never_left_out(limit: RateLimit) -> None:
    assert all(len(limit.admit(fact(), 0.0)) == 1 for _ in range(100))


def test_a_chatty_driver_is_limited_at_every_level(limit: RateLimit) -> None:
    printed = [limit.admit(record(level=logging.INFO), 0.0) for _ in range(100)]
    assert sum(map(len, printed)) == BURST


def test_ever_new_lines_do_not_take_ever_more_memory(limit: RateLimit) -> None:
    for number in range(5000):
        assert len(limit.admit(record(f"line {number} %s"), 0.0)) == 1
    assert len(limit._runs) <= 1000


def test_a_summary_keeps_the_fields_but_not_the_stack(limit: RateLimit) -> None:
    for _ in range(BURST + 1):
        made = record()
        made.__dict__["event.action"] = "retry"
        made.exc_info = (ValueError, ValueError("x"), None)
        limit.admit(made, 0.0)
    [summary] = limit.rest()
    assert getattr(summary, "event.action") == "retry"
    assert getattr(summary, "cdc.repeated") == 1
    assert summary.exc_info is None
