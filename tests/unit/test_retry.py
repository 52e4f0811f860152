"""Retrying, on the real `retrying` package with a clock and an event under control."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from cdc_cli.errors import ConfigError, Denied, ExitCode, Fatal, PoisonEvent, PositionLost, Retryable, TryLater
from cdc_cli.retry import RetryPolicy, Stopped
from cdc_cli.settings.models import RetrySettings
from tests.support.clock import ManualClock


class WaitingEvent(threading.Event):
    """An event whose waits take no time but turn the clock, and are remembered."""

    def __init__(self, clock: ManualClock, set_after: int | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._set_after = set_after
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "a wait without a limit"
        self.waits.append(timeout)
        self._clock.tick(timeout)
        if self._set_after is not None and len(self.waits) >= self._set_after:
            self.set()
        return self.is_set()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stop(clock: ManualClock) -> WaitingEvent:
    return WaitingEvent(clock)


def policy(clock: ManualClock, random: Callable[[], float] = lambda: 0.0, **settings: object) -> RetryPolicy:
    return RetryPolicy(RetrySettings.model_validate(settings), clock, random)


class Failing:
    """Fails that many times, then returns `ok`."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.times = times
        self.calls = 0
        self.error = error or Retryable("no answer from db1", "is it running?")

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "ok"


@pytest.mark.requirement("R12.1")
def test_a_passing_failure_is_retried_with_growing_waits(clock: ManualClock, stop: WaitingEvent) -> None:
    fn = Failing(5)
    chosen = policy(clock, initial="200ms", multiplier=2, max_delay="1s", jitter=0)
    assert chosen.run(fn, stop=stop, what="reading") == "ok"
    assert stop.waits == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])


@pytest.mark.requirement("R12.4")
def test_there_is_always_a_wait_between_attempts(clock: ManualClock, stop: WaitingEvent) -> None:
    chosen = policy(clock, lambda: 1.0, initial=0, max_delay=0, jitter=1)
    assert chosen.run(Failing(3), stop=stop, what="reading") == "ok"
    assert all(wait >= 0.01 for wait in stop.waits)


def test_jitter_only_shortens_the_wait(clock: ManualClock) -> None:
    assert policy(clock, lambda: 1.0, initial="10s", max_delay="10s", jitter=0.3).delay(1) == pytest.approx(7)
    assert policy(clock, lambda: 0.0, initial="10s", max_delay="10s", jitter=0.3).delay(1) == pytest.approx(10)


def test_the_ten_thousandth_failure_still_has_a_delay(clock: ManualClock) -> None:
    assert policy(clock, multiplier=100, max_delay="10s", jitter=0).delay(10_000) == 10


@pytest.mark.requirement("R12.2")
def test_it_gives_up_after_the_maximum_number_of_attempts(clock: ManualClock, stop: WaitingEvent) -> None:
    fn = Failing(99)
    with pytest.raises(Fatal) as raised:
        policy(clock, max_attempts=4, jitter=0).run(fn, stop=stop, what="connecting to MongoDB")
    assert fn.calls == 4
    assert len(stop.waits) == 3
    assert raised.value.exit_code is ExitCode.UNREACHABLE
    assert raised.value.__cause__ is fn.error
    assert raised.value.hint == "is it running?"
    assert raised.value.message == "gave up: connecting to MongoDB failed 4 times in 1.4 s: no answer from db1"


def test_it_gives_up_when_the_time_is_over_and_not_later(clock: ManualClock, stop: WaitingEvent) -> None:
    chosen = policy(clock, max_attempts=1000, initial="4s", max_delay="4s", jitter=0, give_up_after="10s")
    with pytest.raises(Fatal, match=r"failed 4 times in 10 s"):
        chosen.run(Failing(99), stop=stop, what="reading")
    assert stop.waits == [4, 4, 2]


def test_a_change_of_the_wall_clock_neither_ends_nor_prolongs_it(clock: ManualClock, stop: WaitingEvent) -> None:
    fn = Failing(3)

    def attempt() -> str:
        clock.jump(1e9 if fn.calls % 2 else -1e9)
        return fn()

    assert policy(clock, give_up_after="10s").run(attempt, stop=stop, what="reading") == "ok"


@pytest.mark.requirement("R12.5")
@pytest.mark.parametrize("kind", [ConfigError, Denied, PoisonEvent, PositionLost, TryLater, Fatal, KeyError])
def test_everything_but_a_retryable_error_comes_out_at_once(
    clock: ManualClock, stop: WaitingEvent, kind: type[Exception]
) -> None:
    fn = Failing(1, kind("x"))
    with pytest.raises(kind) as raised:
        policy(clock).run(fn, stop=stop, what="reading")
    assert raised.value is fn.error
    assert fn.calls == 1
    assert stop.waits == []


def test_nothing_is_tried_when_the_stop_event_is_set_already(clock: ManualClock, stop: WaitingEvent) -> None:
    stop.set()
    fn = Failing(0)
    with pytest.raises(Stopped):
        policy(clock).run(fn, stop=stop, what="reading")
    assert fn.calls == 0


def test_nothing_is_tried_again_after_the_stop_event(clock: ManualClock) -> None:
    stop = WaitingEvent(clock, set_after=2)
    fn = Failing(99)
    with pytest.raises(Stopped):
        policy(clock).run(fn, stop=stop, what="reading")
    assert fn.calls == 2


def test_a_failure_while_stopping_is_a_stop(clock: ManualClock, stop: WaitingEvent) -> None:
    def fn() -> None:
        stop.set()
        raise Retryable("connection closed")

    with pytest.raises(Stopped):
        policy(clock).run(fn, stop=stop, what="reading")
    assert stop.waits == []


@pytest.mark.requirement("R9.1")
def test_a_real_stop_event_cuts_a_long_wait_short(clock: ManualClock) -> None:
    stop = threading.Event()
    failed = threading.Event()
    outcome: list[BaseException] = []

    def fn() -> None:
        failed.set()
        raise Retryable("no answer")

    def run() -> None:
        try:
            policy(clock, initial="1h", max_delay="1h", give_up_after="1d").run(fn, stop=stop, what="reading")
        except Stopped as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert failed.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(outcome[0], Stopped)


def test_the_library_itself_never_sleeps(
    clock: ManualClock, stop: WaitingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    policy(clock, jitter=0).run(Failing(5), stop=stop, what="reading")
    assert sum(slept) == 0


def test_the_library_logs_nothing_by_itself(
    clock: ManualClock, stop: WaitingEvent, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        policy(clock).run(Failing(2), stop=stop, what="reading")
    assert {record.name for record in caplog.records} == {"cdc_cli.retry"}
    assert [getattr(record, "event.action") for record in caplog.records] == ["retry", "retry"]
    assert "reading failed (attempt 1 of 100), next attempt in 0.2 s: no answer from db1" in caplog.text


def test_each_retry_is_told_to_the_caller(clock: ManualClock, stop: WaitingEvent) -> None:
    told: list[tuple[str, int, float]] = []
    policy(clock, jitter=0).run(
        Failing(2),
        stop=stop,
        what="reading",
        on_retry=lambda error, failures, wait: told.append((error.code, failures, wait)),
    )
    assert told == [("unreachable", 1, 0.2), ("unreachable", 2, 0.4)]


@pytest.mark.requirement("R12.2")
def test_a_loop_that_counts_for_itself_has_the_same_limits(clock: ManualClock) -> None:
    backoff = policy(clock, max_attempts=3, jitter=0).backoff("MongoDB")
    error = Retryable("no answer")
    waits = [backoff.failed(error), backoff.failed(error)]
    assert waits == pytest.approx([0.2, 0.4])
    with pytest.raises(Fatal, match="gave up: MongoDB failed 3 times"):
        backoff.failed(error)


def test_progress_starts_the_count_and_the_time_again(clock: ManualClock) -> None:
    backoff = policy(clock, max_attempts=2, jitter=0, give_up_after="10s").backoff("Kafka")
    for _ in range(5):
        assert backoff.failed(Retryable("no answer")) == pytest.approx(0.2)
        clock.tick(60)
        backoff.succeeded()


def test_giving_up_keeps_the_exit_code_of_the_error(clock: ManualClock) -> None:
    class Slow(Retryable):
        exit_code = ExitCode.TRY_LATER

    backoff = policy(clock, max_attempts=1).backoff("Kafka")
    with pytest.raises(Fatal, match="failed once: busy") as raised:
        backoff.failed(Slow("busy"))
    assert raised.value.exit_code is ExitCode.TRY_LATER
