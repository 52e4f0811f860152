"""Threads that live and die together."""

from __future__ import annotations

import threading
from typing import NoReturn

import pytest

from cdc_cli.clock import SystemClock
from cdc_cli.errors import CdcError, ExitCode, Fatal, PositionLost
from cdc_cli.retry import Stopped
from cdc_cli.workers.supervisor import Supervisor


class Left(BaseException):
    """Stands for the end of the process."""


class Exits:
    def __init__(self) -> None:
        self.codes: list[int] = []

    def __call__(self, code: int) -> NoReturn:
        self.codes.append(code)
        raise Left


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def supervisor(stop: threading.Event, deadline: float = 10.0, exits: Exits | None = None) -> Supervisor:
    return Supervisor(stop, SystemClock(), deadline, leave=exits or Exits())


def wait_for(stop: threading.Event) -> None:
    assert stop.wait(30)


class Obedient:
    """A thread's work that ends when it is asked to; knows which thread did it, and that it ended."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.thread: threading.Thread | None = None
        self.has_ended = False

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        wait_for(self.stop)
        self.has_ended = True


def test_all_threads_end_when_the_stop_event_is_set(stop: threading.Event) -> None:
    watched = supervisor(stop)
    works = [Obedient(stop), Obedient(stop)]
    for number, work in enumerate(works):
        watched.spawn(f"lane-{number}", work)
    stop.set()
    watched.run()
    assert [work.has_ended for work in works] == [True, True]


def test_threads_have_their_names_and_are_joined_before_the_process_ends(stop: threading.Event) -> None:
    watched = supervisor(stop)
    work = Obedient(stop)
    watched.spawn("cdc-lane-3", work)
    stop.set()
    watched.run()
    assert work.thread is not None
    assert (work.thread.name, work.thread.daemon, work.thread.is_alive()) == ("cdc-lane-3", False, False)


def test_the_error_of_one_thread_ends_all_and_comes_out(stop: threading.Event) -> None:
    watched = supervisor(stop)
    other = Obedient(stop)
    error = PositionLost("the token fell off the oplog")

    def fail() -> None:
        raise error

    watched.spawn("saver", other)
    watched.spawn("reader", fail)
    with pytest.raises(PositionLost) as raised:
        watched.run()
    assert raised.value is error
    assert other.has_ended


def test_the_first_error_wins_and_the_second_is_logged(
    stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    watched = supervisor(stop)

    def fail_first() -> None:
        raise Fatal("the cause")

    def fail_later() -> None:
        wait_for(stop)
        raise OSError("a consequence")

    watched.spawn("later", fail_later)
    watched.spawn("first", fail_first)
    with pytest.raises(Fatal, match="the cause"):
        watched.run()
    assert "later failed while stopping: a consequence" in caplog.text


def test_a_thread_that_ends_by_itself_is_a_failure_of_the_whole(stop: threading.Event) -> None:
    watched = supervisor(stop)
    watched.spawn("saver", lambda: wait_for(stop))
    watched.spawn("reader", lambda: None)
    with pytest.raises(Fatal, match="the thread reader ended by itself") as raised:
        watched.run()
    assert raised.value.exit_code is ExitCode.BUG


def test_a_thread_with_finite_work_may_end_and_the_others_go_on(stop: threading.Event) -> None:
    watched = supervisor(stop)
    finished = threading.Event()

    def rest() -> None:
        assert finished.wait(30)
        assert not stop.is_set()

    watched.spawn("finite", finished.set, may_end=True)
    watched.spawn("rest", rest, may_end=True)
    watched.run()
    assert finished.is_set()


def test_a_wait_cut_short_by_the_stop_is_a_normal_end(stop: threading.Event) -> None:
    watched = supervisor(stop)

    def stopped() -> None:
        raise Stopped("connecting")

    watched.spawn("reader", stopped)
    watched.run()
    assert stop.is_set()


def test_nothing_starts_after_the_stop(stop: threading.Event) -> None:
    watched = supervisor(stop)
    started = threading.Event()
    stop.set()
    watched.spawn("late", started.set)
    watched.run()
    assert not started.is_set()


def hanging_here(release: threading.Event) -> None:
    release.wait(30)


@pytest.mark.requirement("R9.5")
def test_a_thread_that_hangs_is_named_with_its_stack_and_the_process_is_left(
    stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    release, exits = threading.Event(), Exits()
    said: list[CdcError] = []
    watched = Supervisor(stop, SystemClock(), 0.1, last_words=said.append, leave=exits)
    watched.spawn("cdc-lane-7", lambda: hanging_here(release))
    watched.spawn("cdc-saver", lambda: wait_for(stop))
    stop.set()
    try:
        with pytest.raises(Left):
            watched.run()
    finally:
        release.set()
    assert exits.codes == [ExitCode.BUG]
    assert "cdc-lane-7 did not end within 0.1 s" in caplog.text
    assert "in hanging_here" in caplog.text
    assert "cdc-saver did not end" not in caplog.text
    assert [error.message for error in said] == ["not drained: cdc-lane-7 did not end within 0.1 s"]


def test_a_hung_thread_does_not_hide_the_error_that_came_first(stop: threading.Event) -> None:
    release, exits = threading.Event(), Exits()
    watched = supervisor(stop, 0.1, exits)

    def fail() -> None:
        raise PositionLost("the token fell off the oplog")

    watched.spawn("hung", lambda: hanging_here(release))
    watched.spawn("reader", fail)
    try:
        with pytest.raises(Left):
            watched.run()
    finally:
        release.set()
    assert exits.codes == [ExitCode.POSITION_LOST]


def test_the_deadline_is_shared_by_all_joins(stop: threading.Event) -> None:
    class CountingClock(SystemClock):
        """Every look at it costs a tenth of a second."""

        now = 0.0

        def monotonic(self) -> float:
            self.now += 0.1
            return self.now

    clock, release, exits = CountingClock(), threading.Event(), Exits()
    watched = Supervisor(stop, clock, 0.5, leave=exits)
    for number in range(20):
        watched.spawn(f"hung-{number}", lambda: hanging_here(release))
    stop.set()
    try:
        with pytest.raises(Left):
            watched.run()
    finally:
        release.set()
    assert clock.now == pytest.approx(0.1 * 21, abs=0.01), "one look for the end, one per join"
    assert exits.codes == [ExitCode.BUG]
