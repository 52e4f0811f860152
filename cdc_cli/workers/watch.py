"""The loop of `cdc watch`: read a change, send it, and go on from the last safe mark when something fails.

Two things can fail independently. When MongoDB does, the stream is opened again after the last change that was
read, and what is under way to Kafka stays under way. When Kafka does, everything under way is abandoned, the
producer is replaced and the stream is read again from the last safe mark: a run of events may repeat, none is
skipped or swapped (invariants I2, I4, I6).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from cdc_cli import failpoints
from cdc_cli.capture import Capture, Captured
from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.clock import Clock
from cdc_cli.errors import CdcError, ExitCode, Fatal, PoisonEvent, PositionLost, Retryable
from cdc_cli.events import Mark
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import KAFKA, Health
from cdc_cli.observe.log import EventLog
from cdc_cli.publish import Publisher
from cdc_cli.retry import Backoff
from cdc_cli.workers.checkpointer import Checkpointer
from cdc_cli.workers.forward import Forwarder

log = EventLog(__name__)

_LOOK_EVERY = 1000
"""Events at most between two looks at what was acknowledged; where no more are at hand there is one at once."""
_LOOP, _STREAM = "watch", "change stream open"
_BEATS_WITHIN = 120.0
"""Seconds: longer than any single call to a server that does not answer."""
_PAUSE = 0.002
"""Seconds to wait for acknowledgements when the in-flight bound is reached."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be in flight, how long the brokers may be silent before the producer is replaced (seconds)."""

    events: int
    size: int
    silence: float = 45.0


class Watcher:
    """Runs in one thread until the stop event; `flush` afterwards waits for the last acknowledgements."""

    def __init__(
        self,
        capture: Capture,
        publisher: Publisher,
        tracker: Tracker,
        forwarder: Forwarder,
        checkpointer: Checkpointer,
        backoff: Callable[[str], Backoff],
        bounds: Bounds,
        skip_to_now: bool,
        counters: Counters,
        health: Health,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._capture = capture
        self._publisher = publisher
        self._tracker = tracker
        self._forwarder = forwarder
        self._checkpointer = checkpointer
        self._source_backoff = backoff("reading from MongoDB")
        self._kafka_backoff = backoff("publishing to Kafka")
        self._bounds = bounds
        self._skip_to_now = skip_to_now
        self._counters = counters
        self._health = health
        self._clock = clock
        self._stop = stop
        self._last: Mark | None = None
        self._careful = 0
        self._unseen = 0
        self._read = self._given_up = 0
        self._acknowledged = 0
        self._progress_at = clock.monotonic()

    def open(self, stored: Mark | None) -> None:
        """Open the stream and save where it starts, so that a crash from now on skips nothing.

        Called again after a failed save it begins where it began before: that save may have happened, and a newer
        'now' would skip what lies between.
        """
        mark = self._open(self._last or stored)
        self._tracker.restart(mark)
        if stored is None or stored.token != mark.token:
            self._checkpointer.save(mark)

    def run(self) -> None:
        """Pump until the stop event. Raises what cannot be mended here: Denied, PositionLost, Fatal..."""
        self._health.expect_beats(_LOOP, _BEATS_WITHIN)
        self._health.report_check(_STREAM, True)
        while not self._stop.is_set():
            try:
                item = self._capture.read()
            except Retryable as exc:
                self._reopen(exc)
                continue
            except PositionLost as exc:
                self._skip_gap(exc)
                continue
            try:
                self._handle(item)
            except Retryable as exc:
                self._replay(exc)

    def lag(self) -> float | None:
        """Seconds between now and the commit in MongoDB of what is safely published; on a quiet stream about 1."""
        safe = self._tracker.safe
        if safe is None or safe.cluster_time is None:
            return None
        return max(0.0, self._clock.time() - safe.cluster_time[0])

    def flush(self, seconds: float) -> None:
        """After `run`: wait for what is under way, at most `seconds`, so that the last token covers it (R9.4)."""
        self._publisher.flush(seconds)
        try:
            self._look()
        except CdcError as exc:
            log.warn("publish.not_flushed", "not everything was acknowledged at the end: %s", exc.message)
        self._capture.close()

    def _handle(self, item: Captured | Mark | None) -> None:
        if isinstance(item, Captured):
            self._unseen += 1
            self._read += 1
            self._last = item.mark
            if self._careful:
                self._forward_alone(item)
            else:
                self._forwarder.forward(item)
            if self._unseen < _LOOK_EVERY and self._capture.has_more and self._has_room():
                return
        elif item is not None:
            self._last = item
            self._tracker.note(item)
        self._look()
        self._wait_for_room()

    def _look(self) -> None:
        """See what was acknowledged; raises the first failure as what it means."""
        self._health.beat(_LOOP)
        self._publisher.poll()
        self._tracker.advance()
        self._count()
        self._health.owes(KAFKA, self._progress_at if self._tracker.in_flight else None)
        self._health.tell_silence()
        failure = self._tracker.failure
        if failure is not None:
            raise self._explain(failure)

    def _explain(self, failure: BaseException) -> CdcError:
        error = self._publisher.explain(failure)
        if isinstance(error, PoisonEvent):
            # Which record it was is found out by sending them one at a time.
            self._careful = max(self._careful, self._tracker.in_flight)
            error = Retryable(error.message, error.hint, error.code)
        error.__cause__ = failure
        return error

    def _count(self) -> None:
        self._counters.add("read", self._unseen)
        acknowledged = self._tracker.acknowledged
        self._counters.set("in_flight", self._tracker.in_flight)
        if self._unseen:
            self._source_backoff.succeeded()
        self._unseen = 0
        if acknowledged != self._acknowledged or not self._tracker.in_flight:
            self._progress_at = self._clock.monotonic()
            self._kafka_backoff.succeeded()
            failpoints.hit("publish.after_ack")
            self._counters.add("published", acknowledged - self._acknowledged)
            self._acknowledged = acknowledged

    def _count_given_up(self) -> None:
        """What was read and is neither acknowledged nor under way any more is read again (invariant I9)."""
        given_up = self._read - self._given_up - self._tracker.acknowledged
        self._given_up += given_up
        self._counters.add("replayed", given_up)

    def _has_room(self) -> bool:
        return self._tracker.has_room(self._bounds.events, self._bounds.size)

    def _wait_for_room(self) -> None:
        if not self._has_room():
            begun = self._clock.monotonic()
            while not self._has_room() and not self._stop.wait(_PAUSE):
                self._look()
                self._check_silence()
            self._counters.add_wait("watch_waited", "kafka", self._clock.monotonic() - begun)
        self._check_silence()

    def _check_silence(self) -> None:
        silent = self._clock.monotonic() - self._progress_at
        if self._tracker.in_flight and silent > self._bounds.silence:
            raise Retryable(
                f"Kafka has acknowledged nothing for {silent:.0f} s with {self._tracker.in_flight} records under way",
                "are the brokers up, and do the topics still exist?",
                "kafka.silent",
            )

    def _forward_alone(self, captured: Captured) -> None:
        """Send one record and wait for its fate: a poisoned one is found, and only that one is dead-lettered."""
        self._forwarder.forward(captured)
        while self._tracker.in_flight and not self._stop.is_set():
            self._publisher.poll()
            self._tracker.advance()
            failure = self._tracker.failure
            if failure is not None:
                error = self._publisher.explain(failure)
                self._publisher.rotate()
                self._tracker.reset()
                if not isinstance(error, PoisonEvent) or self._careful == 0:
                    raise _hopeless(error) from failure
                self._careful = 0
                self._forwarder.bury(captured, error)
            self._check_silence()
            self._stop.wait(_PAUSE)
        self._count()
        self._careful = max(0, self._careful - 1)

    def _reopen(self, error: Retryable) -> None:
        """MongoDB failed: wait, then go on after the last change that was read."""
        while not self._stop.is_set():
            self._pause(self._source_backoff, error)
            try:
                self._open(self._last)
                return
            except Retryable as again:
                error = again

    def _skip_gap(self, error: PositionLost) -> None:
        try:
            self._lost(error)
        except Retryable as again:
            self._reopen(again)

    def _replay(self, error: Retryable) -> None:
        """Kafka failed: wait, replace the producer, read again from the last safe mark."""
        while not self._stop.is_set():
            self._pause(self._kafka_backoff, error)
            try:
                self._publisher.rotate()
                self._tracker.reset()
                self._count_given_up()
                self._open(self._tracker.safe)
                self._progress_at = self._clock.monotonic()
                return
            except Retryable as again:
                error = again

    def _open(self, after: Mark | None) -> Mark:
        try:
            self._last = self._capture.open(after)
            self._health.report_check(_STREAM, True)
        except PositionLost as exc:
            if not self._skip_to_now:
                raise
            self._lost(exc)
        assert self._last is not None
        return self._last

    def _lost(self, error: PositionLost) -> None:
        if not self._skip_to_now:
            raise error
        log.error(
            "position.lost",
            "%s; watcher.on_position_lost is skip_to_now: the changes in between are NOT sent",
            error.message,
            code=error.code,
        )
        self._counters.add("positions_lost")
        self._last = self._capture.open(None, now=True)
        self._tracker.note(self._last)

    def _pause(self, backoff: Backoff, error: Retryable) -> None:
        self._counters.add("retries", label=backoff.what)
        self._health.report_check(_STREAM, False)
        self._health.beat(_LOOP)
        self._stop.wait(backoff.failed(error))


def _hopeless(error: CdcError) -> CdcError:
    """A dead letter that Kafka refuses as well cannot be passed over: the process stops with its position kept."""
    if not isinstance(error, PoisonEvent):
        return error
    return Fatal(
        f"Kafka refuses an event and its dead letter: {error.message}",
        "check max.message.bytes of the dead-letter topic, or create it with the size of kafka.create_topics",
        error.code,
        ExitCode.BAD_DATA,
    )
