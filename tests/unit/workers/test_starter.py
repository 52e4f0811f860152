"""A start waits for a server that comes up, and gives up on a silent one in time to tell."""

from __future__ import annotations

import threading

import pytest

from cdc_cli.errors import Denied, ExitCode, Fatal, Retryable
from cdc_cli.workers.services import Starter
from tests.support.clock import ManualClock

SLOWEST_ATTEMPT = 10.0
"""Seconds until a driver says that a server is silent: connect_timeout of PostgreSQL, twice five of Redis."""


class Impatient(threading.Event):
    """A stop event on which waiting takes no time, only the clock's."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.tick(timeout or 0)
        return self.is_set()


@pytest.mark.requirement("R12.2")
def test_a_silent_server_is_given_up_within_25_seconds() -> None:
    clock = ManualClock()
    began = clock.monotonic()

    def attempt() -> None:
        clock.tick(SLOWEST_ATTEMPT)
        raise Retryable("no answer")

    with pytest.raises(Fatal) as caught:
        Starter(clock, Impatient(clock))("connecting", attempt)
    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert clock.monotonic() - began < 25


@pytest.mark.requirement("R12.1", "R12.4")
def test_a_server_that_comes_up_meanwhile_is_waited_for() -> None:
    clock = ManualClock()
    ready_at = clock.monotonic() + 4

    def attempt() -> str:
        if clock.monotonic() < ready_at:
            raise Retryable("refused")
        return "connected"

    assert Starter(clock, Impatient(clock))("connecting", attempt) == "connected"


@pytest.mark.requirement("R12.5")
def test_what_no_waiting_mends_is_told_at_once() -> None:
    clock = ManualClock()
    began = clock.monotonic()

    def attempt() -> None:
        raise Denied("wrong password")

    with pytest.raises(Denied):
        Starter(clock, Impatient(clock))("connecting", attempt)
    assert clock.monotonic() == began
