"""The saver: keeps the newest safe mark in the token store, in a thread of its own (requirements R2.1-R2.4).

No save stands in the path of an event, and one save covers all that was acknowledged since the last one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from cdc_cli import failpoints
from cdc_cli.checkpoint import TokenRecord, TokenStore, Writer
from cdc_cli.checkpoint.belonging import Belonging, mismatches
from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.clock import Clock
from cdc_cli.errors import ConfigError, Retryable
from cdc_cli.events import Mark
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.log import EventLog
from cdc_cli.retry import Backoff

log = EventLog(__name__)

_EVERY = 0.1
"""Seconds between two looks at the tracker; a save takes about a millisecond on a local disk."""
_REMEMBER_EVERY = 600.0


class Checkpointer:
    """Loads the mark to resume from, and saves safe marks until stopped."""

    def __init__(
        self,
        store: TokenStore,
        tracker: Tracker,
        writer: Writer,
        backoff: Backoff,
        heartbeat: float,
        lease: float,
        counters: Counters,
        clock: Clock,
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._store = store
        self._tracker = tracker
        self._writer = writer
        self._backoff = backoff
        self._heartbeat = heartbeat
        self._renew_every = lease / 3
        self._counters = counters
        self._clock = clock
        self._asking = asking
        self._belongs = Belonging("", "")
        self._saved: Mark | None = None
        self._saved_at = self._renewed_at = self._remembered_at = clock.monotonic()

    def load(self, belongs: Belonging, filters: str) -> Mark | None:
        """The stored mark, None = none is stored. Raises ConfigError for a token of another stream."""
        self._belongs = belongs
        for warning in self._store.warnings():
            log.warn("token_store.unsafe", "token store: %s", warning)
        record = self._store.load()
        if record is None:
            return None
        differences = mismatches(record, belongs, filters)
        _refuse_foreign(differences)
        if "fingerprint" in differences:
            log.warn("token.filter_changed", "%s", differences["fingerprint"])
        self._store.remember(record)
        self._saved = record.mark
        return record.mark

    def save(self, mark: Mark, reason: str = "") -> None:
        """Save now. Raises Retryable, Denied, TryLater, Fatal."""
        belongs = self._belongs
        record = TokenRecord(
            mark=mark,
            stream=belongs.stream,
            fingerprint=belongs.fingerprint,
            replica_set=belongs.replica_set,
            cluster_id=belongs.cluster_id,
            saved_at=self._clock.time(),
            writer=self._writer,
            reason=reason,
        )
        failpoints.hit("token.before_save")
        with self._asking():
            self._store.save(record)
        failpoints.hit("token.after_save")
        self._saved, self._saved_at = mark, self._clock.monotonic()
        self._counters.add("token_saves")
        if self._saved_at - self._remembered_at > _REMEMBER_EVERY:
            self._store.remember(record)
            self._remembered_at = self._saved_at

    def run(self, stop: threading.Event) -> None:
        """Save whenever the safe mark changed, until `stop`; the last save is the caller's (`finish`)."""
        while not stop.wait(_EVERY):
            self.step(stop)

    def step(self, stop: threading.Event) -> None:
        """Save once if it is due; a failed save is logged and tried again later (requirement R2.4)."""
        try:
            now = self._clock.monotonic()
            if now - self._renewed_at >= self._renew_every:
                self._store.renew()
                self._renewed_at = now
            mark = self._tracker.advance()
            if mark is not None and self._is_due(mark, now):
                self.save(mark)
            self._backoff.succeeded()
        except Retryable as exc:
            stop.wait(self._backoff.failed(exc))

    def finish(self) -> Mark | None:
        """The last save before the end; the mark that is stored then."""
        mark = self._tracker.advance()
        if mark is not None and mark != self._saved:
            self.save(mark)
        return self._saved

    def _is_due(self, mark: Mark, now: float) -> bool:
        """An event's progress is saved at once, mere progress of time once a heartbeat."""
        saved = self._saved
        if mark is saved:
            return False
        if saved is None or saved.position != mark.position:
            return True
        return now - self._saved_at >= self._heartbeat


def _refuse_foreign(differences: Mapping[str, str]) -> None:
    for kind in ("deployment", "stream"):
        if kind in differences:
            raise ConfigError(
                differences[kind],
                "point token_store, mongodb or watcher.shard at the right one; `cdc token show` tells whose token it "
                "is, `cdc token reset` starts anew",
                "token.foreign",
            )
