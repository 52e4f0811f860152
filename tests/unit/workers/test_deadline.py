"""The last safeguard: a process that was asked to end is gone in time."""

from __future__ import annotations

import threading

import pytest

from cdc_cli.errors import ExitCode
from cdc_cli.workers.deadline import gone_in_time


def test_an_end_that_hangs_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    stop, left = threading.Event(), threading.Event()
    codes: list[int] = []
    said: list[str] = []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    with gone_in_time(stop, lambda: 0.05, lambda: said.append("last words"), leave):
        stop.set()
        assert left.wait(30)
    assert codes == [ExitCode.BUG]
    assert said == ["last words"]
    assert "MainThread stands here" in caplog.text
    assert "test_an_end_that_hangs_is_named_and_left" in caplog.text


def test_an_end_in_time_is_left_alone() -> None:
    stop = threading.Event()
    codes: list[int] = []
    with gone_in_time(stop, lambda: 30.0, leave=codes.append):
        stop.set()
    watchers = [thread for thread in threading.enumerate() if thread.name == "cdc-deadline"]
    for thread in watchers:
        thread.join(30)
    assert codes == []


def test_without_a_stop_nothing_is_watched() -> None:
    codes: list[int] = []
    with gone_in_time(threading.Event(), lambda: 0.0, leave=codes.append):
        pass
    for thread in [thread for thread in threading.enumerate() if thread.name == "cdc-deadline"]:
        thread.join(30)
    assert codes == []
