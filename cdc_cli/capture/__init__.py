"""Capturing: reading changes from MongoDB's change stream, in order, each with its position.

The contract is `Capture`: batches of changes, each change carrying the mark from which the stream continues
after it, and a mark for the batch as a whole so that a quiet stream advances too. Which server, which driver
and how it reconnects is the business of the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from cdc_cli.events import ChangeEvent, Mark, Position


class Undecodable(NamedTuple):
    """A change whose bytes or size MongoDB's driver cannot turn into an event: it goes to the dead letters."""

    raw: bytes
    code: str
    reason: str
    namespace: str
    position: Position
    id: Any = None


class Captured(NamedTuple):
    """One change and the mark right after it."""

    event: ChangeEvent | Undecodable
    mark: Mark


class CapturedBatch(NamedTuple):
    """Changes in stream order; `mark` (a post-batch token) lies at or after the last one, None = not known."""

    changes: Sequence[Captured]
    mark: Mark | None


class Capture(Protocol):
    """A change stream that survives what can be survived."""

    def open(self, after: Mark | None) -> None:
        """Open right after the mark, None = where `watcher.start_from` says. Blocks for network time.

        Raises Retryable, Denied, ConfigError, PositionLost.
        """
        ...

    def read(self) -> CapturedBatch:
        """The next changes; waits at most about a second for the first one, then returns an empty batch.

        Raises what `open` raises; after Retryable the caller opens again at the last mark it read.
        """
        ...

    def close(self) -> None:
        """Let go of the cursor; never raises, may be called at any time, also twice."""
        ...
