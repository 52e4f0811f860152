"""Failpoints: off by default, understood exactly, and every name stands in the code."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cdc_cli
from cdc_cli import failpoints
from cdc_cli.errors import ConfigError, Retryable

CODE = Path(cdc_cli.__file__).parent
HIT = re.compile(r'failpoints\.hit\("([^"]+)"\)')


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_nothing_happens_unless_armed() -> None:
    for name in failpoints.POINTS:
        failpoints.hit(name)
    assert not failpoints.is_armed(*failpoints.POINTS)


def test_the_code_passes_every_point_that_there_is_and_no_other() -> None:
    passed = {name for file in CODE.rglob("*.py") for name in HIT.findall(file.read_text())}
    assert passed == failpoints.POINTS


def test_the_action_happens_at_the_nth_hit_and_only_then(capfd: pytest.CaptureFixture[str]) -> None:
    failpoints.arm("apply.after_commit:raise@3")
    failpoints.hit("apply.after_commit")
    failpoints.hit("apply.after_commit")
    failpoints.hit("apply.before_commit")
    with pytest.raises(failpoints.FailpointReached):
        failpoints.hit("apply.after_commit")
    failpoints.hit("apply.after_commit")
    assert capfd.readouterr().err == "failpoint apply.after_commit raise\n"


def test_without_a_number_the_first_hit_counts_and_fail_is_a_failure_that_passes() -> None:
    failpoints.arm("token.before_save:fail, token.after_save:raise")
    assert failpoints.is_armed("token.after_save")
    with pytest.raises(Retryable):
        failpoints.hit("token.before_save")


def test_a_thread_that_hangs_does_not_come_back() -> None:
    failpoints.arm("sync.after_route:hang")
    thread = threading.Thread(target=failpoints.hit, args=("sync.after_route",), daemon=True)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()


@pytest.mark.parametrize("spec", ["x", "no.such_point:kill", "sync.after_route:explode", "sync.after_route:kill@0"])
def test_what_is_not_understood_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError):
        failpoints.arm(spec)
