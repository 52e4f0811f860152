"""A TokenStore in one file, for a watcher on one host: `<path>`, its former content in `<path>.prev`.

Beside them lie `<path>.history` and `<path>.lock`. What a crash or a full disk leaves behind is always a
whole record; what is damaged or vanished all the same is refused, never taken for 'no token yet' (I2).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cdc_cli.checkpoint import HistoryEntry, TokenRecord, Writer
from cdc_cli.checkpoint.disk import read_private, remove_durably, remove_leftovers, translated, write_durably
from cdc_cli.checkpoint.filehistory import FileHistory
from cdc_cli.checkpoint.filelock import FileLock
from cdc_cli.checkpoint.record import decode, encode, is_older
from cdc_cli.errors import PositionLost, TryLater
from cdc_cli.observe.log import EventLog

log = EventLog(__name__)

PREVIOUS = 0
"""The number under which the history shows `<path>.prev`."""


class FileTokenStore:
    """See `TokenStore`; thread-safe. `wait(seconds)` sleeps and returns True when the process shall stop."""

    def __init__(self, path: Path, history: int, version: str, wait: Callable[[float], bool]) -> None:
        self.path = path
        self._previous = _beside(path, ".prev")
        self._history = FileHistory(_beside(path, ".history"), history)
        self._lock = FileLock(_beside(path, ".lock"), version, wait)
        self._last: TokenRecord | None = None
        self._is_damaged = False
        self._guard = threading.RLock()

    def describe(self) -> str:
        return f"file {self.path}"

    def load(self) -> TokenRecord | None:
        with self._guard, self._translating(f"cannot read the resume token {self.path}"):
            data = read_private(self.path)
            if data is not None:
                return decode(data, self.describe(), self._way_out())
            if read_private(self._previous) is None:
                return None
            raise PositionLost(
                f"the resume token {self.path} is gone, but {self._previous.name} shows that there was one",
                self._way_out(),
                code="token.vanished",
            )

    def save(self, record: TokenRecord) -> None:
        with self._guard, self._translating(f"cannot save the resume token to {self.path}"):
            self._check_right()
            if is_older(record, self._last):
                log.warn("token.older_ignored", "not saved, older than the one in %s", self.describe())
                return
            # a damaged file must not push the last good one out of .prev
            keep = _beside(self.path, ".damaged") if self._is_damaged else self._previous
            data = encode(record)
            write_durably(self.path, data, keep)
            if self._last is None and not self._previous.exists():
                write_durably(self._previous, data)  # from now on a vanished token is noticed
            self._last, self._is_damaged = record, False

    def clear(self, reason: str) -> None:
        with self._guard, self._translating(f"cannot clear the resume token {self.path}"):
            self._check_right()
            if self._is_damaged:
                self.path.rename(_beside(self.path, ".damaged"))
            elif self._last is not None:
                self._history.append(replace(self._last, reason=reason or "cleared"))
            # in this order a crash in between leaves a readable token, not one that has vanished
            remove_durably(self._previous, self.path)
            self._last, self._is_damaged = None, False

    def history(self) -> Sequence[HistoryEntry]:
        with self._guard, self._translating(f"cannot read the token history {self._history.path}"):
            entries = self._history.entries()
            before = self._read_previous()
            return entries if before is None else [HistoryEntry(PREVIOUS, before), *entries]

    def remember(self, record: TokenRecord) -> int:
        with self._guard, self._translating(f"cannot write the token history {self._history.path}"):
            return self._history.append(record)

    def acquire(self, force: bool = False) -> None:
        with self._guard, self._translating(f"cannot lock the resume token {self.path}"):
            self._lock.acquire(force)
            try:
                for path in (self.path, self._previous, self._history.path):
                    remove_leftovers(path)
                self._look()
            except BaseException:
                self._lock.release()
                raise

    def renew(self) -> None:
        with self._guard, self._translating(f"cannot look at the lock of {self.path}"):
            self._check_right()

    def holder(self) -> Writer | None:
        with self._translating(f"cannot look at the lock of {self.path}"):
            return self._lock.holder()

    def release(self) -> None:
        with self._guard:
            try:
                self._lock.release()
            except OSError as exc:
                log.warn("token.release_failed", "the lock of %s could not be given back: %s", self.path, exc)

    def warnings(self) -> Sequence[str]:
        found = []
        for path in (self.path, self._history.path):
            with self._translating(f"cannot look at {path}"):
                mode = path.stat().st_mode if path.exists() else 0
            if mode & 0o077:
                found.append(f"other users can read or change {path}: chmod 600 {path}")
        return found

    def _look(self) -> None:
        """Learn what is there, for `is_older` and for where the old content goes at the first save."""
        try:
            self._last = self.load()
        except PositionLost:
            self._last, self._is_damaged = None, self.path.exists()

    def _check_right(self) -> None:
        if not self._lock.is_mine():
            raise TryLater(
                f"the right to write {self.path} is lost or was never taken: its lock names somebody else",
                "see who writes it: cdc token show",
                "token.lock_lost",
            )

    def _read_previous(self) -> TokenRecord | None:
        try:
            data = read_private(self._previous)
            return None if data is None else decode(data, str(self._previous), "")
        except PositionLost:
            return None

    def _way_out(self) -> str:
        anew = "cdc token reset (--to-now, --to-oldest, --to-datetime or --clear) sets another position"
        if self._read_previous() is None:
            return f"see cdc token history for an earlier one to restore; {anew}"
        return f"cdc token restore {PREVIOUS} puts back the one before, {self._previous.name}; {anew}"

    @contextmanager
    def _translating(self, attempt: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise translated(exc, attempt) from exc


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
