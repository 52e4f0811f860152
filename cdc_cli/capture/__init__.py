"""Capturing: reading changes from MongoDB's change stream, in order, each with its position.

The contract is `Capture`: one change at a time, each with the mark from which the stream continues after it,
and a mark alone when the stream is quiet, so that the resume token advances then too. The modules beside this
one: `pipeline.py` says what is watched, `decode.py` turns a change-stream document into an event, `mongo.py`
is the stream with its fallbacks, `errors.py` sorts what MongoDB says.
"""

from __future__ import annotations

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


class Capture(Protocol):
    """A change stream, one thread's object. The caller reopens it after Retryable at the last mark it read."""

    def open(self, after: Mark | None, now: bool = False) -> Mark:
        """Open right after the mark, None = where `watcher.start_from` says, or now; the mark to save at once.

        Blocks for network time. Raises Retryable, Denied, ConfigError, PositionLost.
        """
        ...

    def read(self) -> Captured | Mark | None:
        """The next change; or, where the stream is quiet, a newer mark; or None after a moment of nothing.

        Raises what `open` raises.
        """
        ...

    @property
    def has_more(self) -> bool:
        """Whether the next change is here already, so that `read` asks nobody for it."""
        ...

    def close(self) -> None:
        """Let go of the cursor; never raises, may be called at any time, also twice."""
        ...
