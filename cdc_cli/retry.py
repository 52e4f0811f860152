"""Trying again: exponential back-off with jitter, cut short by the stop event, up to a limit.

Only `Retryable` errors are retried (R12.1, R12.2, R12.4); every other class says by itself what has to be
done (R12.5). At the limit the last error comes out as `Fatal` with its cause and its exit code. Two shapes:
`RetryPolicy.run` for one call, and `Backoff` for a loop that notices its failures itself.

The loop underneath is the `retrying` package. Used bare it retries for ever without a pause, sleeps through
signals, reads the wall clock and logs the text of exceptions; this module is the only one that touches it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

from retrying import Retrying

from cdc_cli.clock import Clock
from cdc_cli.errors import Fatal, Retryable
from cdc_cli.observe.log import EventLog

if TYPE_CHECKING:
    from cdc_cli.settings.models import RetrySettings

T = TypeVar("T")
OnRetry = Callable[[Retryable, int, float], None]
"""Called before a wait with the error, how often it has failed so far, and the seconds to wait."""

_SHORTEST = 0.01
"""Seconds. Not even `initial: 0` or `jitter: 1` may turn a dead server into a busy loop."""

log = EventLog(__name__)
# Registered nowhere, because `retrying` would log whole stack traces.
_unheard = logging.Logger("retrying")
_unheard.disabled = True


class Stopped(Exception):
    """The stop event was set while waiting or before trying: not a failure, the caller just ends."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait and when to give up; immutable, shared by all threads."""

    settings: RetrySettings
    clock: Clock
    random: Callable[[], float] = random.random

    def delay(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row: at most `max_delay`, jitter only shortens."""
        settings = self.settings
        try:
            grown = settings.initial * settings.multiplier ** (failures - 1)
        except OverflowError:
            grown = settings.max_delay
        shortened = min(grown, settings.max_delay) * (1 - settings.jitter * self.random())
        return max(shortened, _SHORTEST)

    def run(self, fn: Callable[[], T], *, stop: Event, what: str, on_retry: OnRetry | None = None) -> T:
        """What `fn` returns, after as many attempts as it takes.

        `what` names the attempt in messages ("connect to MongoDB"). Blocks for the waits; raises Stopped as
        soon as `stop` is set (also before the first attempt), Fatal at the limit, and whatever else `fn`
        raises at once.
        """
        backoff = self.backoff(what)

        def attempt() -> T:
            if stop.is_set():
                raise Stopped(what)
            return fn()

        def wait(_attempts: int, _elapsed_ms: int) -> int:
            stop.wait(backoff.waiting)
            return 0

        def give_up(_attempts: int, _elapsed_ms: int) -> bool:
            return stop.is_set()

        def is_retried(error: BaseException) -> bool:
            if not isinstance(error, Retryable):
                return False
            _tell(backoff, error, on_retry)
            return True

        retrying = Retrying(stop_func=give_up, wait_func=wait, retry_on_exception=is_retried, logger=_unheard)
        try:
            return cast(T, retrying.call(attempt))
        except Retryable as error:
            raise Stopped(what) from error

    def backoff(self, what: str) -> Backoff:
        """A fresh count of failures for one loop; `what` is the subject of "... failed 8 times"."""
        return Backoff(self, what)


@dataclass(slots=True)
class Backoff:
    """Failures in a row of one loop, which waits by itself: `stop.wait(backoff.failed(error))`.

    One thread's object. `failures` and `waiting` (seconds) tell about the last call of `failed`.
    """

    policy: RetryPolicy
    what: str
    failures: int = field(default=0, init=False)
    waiting: float = field(default=0.0, init=False)
    _since: float = field(default=0.0, init=False)

    def failed(self, error: Retryable) -> float:
        """Count a failure and log it; the seconds to wait before the next try.

        Raises Fatal at the limit, cause kept.
        """
        now = self.policy.clock.monotonic()
        if not self.failures:
            self._since = now
        self.failures += 1
        elapsed = now - self._since
        settings = self.policy.settings
        if self.failures >= settings.max_attempts or elapsed >= settings.give_up_after:
            self._give_up(error, elapsed)
        left = settings.give_up_after - elapsed
        self.waiting = max(min(self.policy.delay(self.failures), left), _SHORTEST)
        log.warn(
            "retry",
            "%s failed (attempt %d of %d), next attempt in %.1f s: %s",
            self.what,
            self.failures,
            settings.max_attempts,
            self.waiting,
            error.message,
            code=error.code,
        )
        return self.waiting

    def succeeded(self) -> None:
        """Any progress starts the count again; costs nothing when there was no failure."""
        if self.failures:
            log.info("retry.succeeded", "%s works again after %d failures", self.what, self.failures)
            self.failures = 0

    def _give_up(self, error: Retryable, elapsed: float) -> NoReturn:
        times = "once" if self.failures == 1 else f"{self.failures} times in {_span(elapsed)}"
        message = f"gave up: {self.what} failed {times}: {error.message}"
        raise Fatal(message, error.hint, error.code, error.exit_code) from error


def _tell(backoff: Backoff, error: Retryable, on_retry: OnRetry | None) -> None:
    waiting = backoff.failed(error)
    if on_retry is not None:
        on_retry(error, backoff.failures, waiting)


def _span(seconds: float) -> str:
    """`0.4 s`, `12 s`, `9 min 30 s`: for a sentence."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
