"""Checkpointing: the resume token of the contiguous acknowledged prefix, kept where a restart finds it.

`tracker.py` decides which mark is safe (pure); a `TokenStore` keeps it. The store is never in the path of an
event: a saver thread writes the newest safe mark as fast as the store takes it (invariant I4: never ahead of
what Kafka has acknowledged).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cdc_cli.events import Mark

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Writer:
    """Who saved a token."""

    host: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is stored: a mark and everything needed to refuse it where it does not belong.

    `stream` names what is watched (`database game`, `deployment`), `fingerprint` hashes the pipeline
    (database, collections, operations), `replica_set` and `cluster_id` identify the deployment (empty = not
    known); `saved_at` is epoch seconds. `reason` is free text of the operator, for a reset or restore, and
    empty for everything that a watcher saves. A mark with an empty token means: start at its `cluster_time`.
    """

    mark: Mark
    stream: str
    fingerprint: str
    replica_set: str
    cluster_id: str
    saved_at: float
    writer: Writer
    reason: str = ""
    format: int = field(default=FORMAT)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An earlier token; `number` is what `cdc token restore` takes."""

    number: int
    record: TokenRecord


class TokenStore(Protocol):
    """Keeps one token record, its history, and the right of one watcher to write it."""

    def load(self) -> TokenRecord | None:
        """The last saved record, None when there is none (never saved, or cleared on purpose).

        Raises PositionLost for a record that is corrupt, of a newer format, or gone without having been
        cleared (never 'start now'), Retryable, Denied.
        """
        ...

    def save(self, record: TokenRecord) -> None:
        """Replace the record durably, or leave the old one as it was; needs `acquire`. Blocks for the disk.

        Newest wins: a record without a `reason` whose place lies before the stored one changes nothing.
        Raises Retryable, Denied, TryLater (the right to write is lost), Fatal (the disk is failing).
        """
        ...

    def clear(self, reason: str) -> None:
        """Remove the record on purpose; it goes to the history, with that reason. Raises like `save`."""
        ...

    def history(self) -> Sequence[HistoryEntry]:
        """Earlier records, newest first, at most `token_store.history` of them."""
        ...

    def remember(self, record: TokenRecord) -> int:
        """Append a record to the history and return its number; done at start, at resets and now and then."""
        ...

    def acquire(self, force: bool = False) -> None:
        """Become the one writer. Raises TryLater when another live watcher is; waits out a dead one's lease.

        With `force` the right is taken from whoever has it, and his next `save` or `renew` raises TryLater.
        Blocks at most about the time of a lease; raises Retryable, Denied, and retry.Stopped when the process
        shall end meanwhile.
        """
        ...

    def renew(self) -> None:
        """Keep the right to write; to be called every third of `token_store.redis.lease`, saves or not.

        Raises TryLater when the right is lost, Retryable.
        """
        ...

    def warnings(self) -> Sequence[str]:
        """What an operator should know about the safety of this store, as sentences; read-only, may block."""
        ...

    def holder(self) -> Writer | None:
        """Who holds the right to write now, None = nobody."""
        ...

    def release(self) -> None:
        """Give the right back and let go of connections; never raises, may be called twice."""
        ...

    def describe(self) -> str:
        """Where the token is, for people (`file ./state/cdc-token.json`); never holds a secret."""
        ...
