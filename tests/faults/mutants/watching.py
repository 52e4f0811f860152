"""Bugs of `cdc watch`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from cdc_cli.capture import mongo as capture
from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.envelope.encode import Encoder
from cdc_cli.errors import PoisonEvent, PositionLost, Retryable
from cdc_cli.events import Position
from cdc_cli.workers.checkpointer import Checkpointer
from cdc_cli.workers.forward import Forwarder
from cdc_cli.workers.watch import Watcher


@contextmanager
def token_on_read() -> Iterator[None]:
    """The token of a change is safe as soon as the change has been read and sent."""
    add = Tracker.add

    def mutant(self: Any, delivery: Any, mark: Any, size: int) -> None:
        add(self, delivery, mark, size)
        self._safe = mark

    with patch.object(Tracker, "add", mutant):
        yield


@contextmanager
def token_of_last_ack() -> Iterator[None]:
    """The token of the newest acknowledged change is saved, whatever before it is still under way."""

    def mutant(self: Any) -> Any:
        done = [(delivery, mark) for delivery, mark, _ in self._queue if delivery is None or delivery.is_done]
        failed = [delivery.exception for delivery, _ in done if delivery is not None and delivery.exception]
        self._failure = self._failure or (failed[0] if failed else None)
        good = [mark for delivery, mark in done if delivery is None or not delivery.exception]
        if good:
            self._safe = good[-1]
        left = [item for item in self._queue if not (item[0] is None or item[0].is_done)]
        self._settled += sum(1 for item in self._queue if item[0] is not None) - len(left)
        self._queue.clear()
        self._queue.extend(left)
        return self._safe

    with patch.object(Tracker, "advance", mutant):
        yield


@contextmanager
def post_batch_token_past_unacked() -> Iterator[None]:
    """The token of a quiet moment is saved at once instead of waiting for its turn."""

    def mutant(self: Any, mark: Any) -> None:
        self._safe = mark

    with patch.object(Tracker, "note", mutant):
        yield


@contextmanager
def failure_is_an_ack() -> Iterator[None]:
    """A delivery that is done counts as acknowledged, also when it failed."""

    class Blind:
        def __init__(self, delivery: Any) -> None:
            self._delivery = delivery
            self.exception = None

        @property
        def is_done(self) -> bool:
            return bool(self._delivery.is_done)

    add = Tracker.add
    with patch.object(Tracker, "add", lambda self, delivery, mark, size: add(self, Blind(delivery), mark, size)):
        yield


@contextmanager
def flush_is_an_ack() -> Iterator[None]:
    """After a flush that returned, everything that was sent counts as acknowledged."""

    def mutant(self: Any) -> None:
        if self._publisher.flush(5.0) and self._last is not None:
            self._tracker.reset()
            self._tracker.restart(self._last)
        self._count()

    with patch.object(Watcher, "_look", mutant):
        yield


@contextmanager
def replay_from_last_read() -> Iterator[None]:
    """After a failure of Kafka the stream goes on where it was, instead of at the last safe token."""

    def mutant(self: Any, error: Retryable) -> None:
        while not self._stop.is_set():
            self._pause(self._kafka_backoff, error)
            try:
                self._publisher.rotate()
                self._tracker.reset()
                return
            except Retryable as again:
                error = again

    with patch.object(Watcher, "_replay", mutant):
        yield


@contextmanager
def dead_letter_after_fatal() -> Iterator[None]:
    """Everything that fails because the producer is fatal goes to the dead letters, not only the record at fault."""
    forward, look = Forwarder.forward, Watcher._look

    def keeping(self: Any, captured: Any) -> None:
        forward(self, captured)
        kept = self.__dict__.setdefault("kept", [])
        kept.append((captured, self._tracker._queue[-1][0]))

    def burying(self: Any) -> None:
        self._tracker.advance()
        failure = self._tracker.failure
        error = self._publisher.explain(failure) if failure is not None else None
        if not isinstance(error, PoisonEvent):
            look(self)
            return
        kept = self._forwarder.__dict__.get("kept", [])
        waiting = {id(delivery) for delivery, _, _ in self._tracker._queue}
        self._publisher.rotate()
        self._tracker.reset()
        for captured, delivery in kept:
            if id(delivery) in waiting:
                self._forwarder.bury(captured, error)
        kept.clear()

    with patch.object(Forwarder, "forward", keeping), patch.object(Watcher, "_look", burying):
        yield


@contextmanager
def fatal_producer_kept() -> Iterator[None]:
    """After a failure the same producer is used on."""

    def mutant(self: Any, error: Retryable) -> None:
        self._pause(self._kafka_backoff, error)
        self._tracker.reset()
        self._open(self._tracker.safe)

    with patch.object(Watcher, "_replay", mutant):
        yield


@contextmanager
def start_now_without_token() -> Iterator[None]:
    """A token that has vanished counts as a first start."""
    load = Checkpointer.load

    def mutant(self: Any, belongs: Any, filters: str) -> Any:
        try:
            return load(self, belongs, filters)
        except PositionLost:
            return None

    with patch.object(Checkpointer, "load", mutant):
        yield


@contextmanager
def cluster_time_only() -> Iterator[None]:
    """The position is the cluster time: changes of one transaction are equal."""

    def mutant(change: Any, previous: Any) -> Position:
        time = change["clusterTime"]
        return Position(time.time, time.inc, 0)

    with patch.object(capture, "position_of", mutant):
        yield


@contextmanager
def text_of_id_as_kafka_key() -> Iterator[None]:
    """The record's key is `str(_id)`: an ObjectId and its hexadecimal text share it."""
    identify = Encoder._id

    def mutant(self: Any, value: Any) -> tuple[bytes, bytes]:
        return identify(self, value)[0], b'"%b"' % str(value).encode()

    with patch.object(Encoder, "_id", mutant):
        yield


@contextmanager
def bad_change_skipped() -> Iterator[None]:
    """A change that cannot be sent is logged and passed over, without a dead letter."""

    def mutant(self: Any, captured: Any, error: Any) -> None:
        self._tracker.note(captured.mark)

    with patch.object(Forwarder, "bury", mutant):
        yield


@contextmanager
def silence_unnoticed() -> Iterator[None]:
    """Nobody notices that the producer never answers again."""
    with patch.object(Watcher, "_check_silence", lambda self: None):
        yield


@contextmanager
def no_bound_in_flight() -> Iterator[None]:
    """What is under way to Kafka has no limit."""
    with patch.object(Watcher, "_has_room", lambda self: True):
        yield


@contextmanager
def one_attempt_to_reopen() -> Iterator[None]:
    """The stream is opened again once; a second failure is left to the next read. (This was in the program.)"""

    def mutant(self: Any, error: Retryable) -> None:
        self._pause(self._source_backoff, error)
        try:
            self._open(self._last)
        except Retryable:
            return

    with patch.object(Watcher, "_reopen", mutant):
        yield


@contextmanager
def first_start_moves() -> Iterator[None]:
    """A first start that is tried again begins at a newer now. (This was in the program.)"""

    def mutant(self: Any, stored: Any) -> None:
        mark = self._open(stored)
        self._tracker.restart(mark)
        if stored is None or stored.token != mark.token:
            self._checkpointer.save(mark)

    with patch.object(Watcher, "open", mutant):
        yield
