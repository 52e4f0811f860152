"""Applying: writing the newest state of each document to its row, any number of times with the same result.

The contract is `Applier`: one transaction per batch; the row's `cdc_position` guards it, so that a replayed
or late event changes nothing (invariant I3). A deleted document leaves a tombstone, so that a replayed insert
cannot raise it. What PostgreSQL cannot take is reported per event, never dropped (invariant I1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cdc_cli.consume import Partition
from cdc_cli.errors import CdcError


class Change(NamedTuple):
    """An event as the writer needs it: bytes ready for PostgreSQL, no BSON and no envelope left.

    `table` is the namespace `database.collection`; `id` and `id_type` are the primary key; `position`
    compares as bytes; `document` is JSON text in the configured `jsonb_format`, None = delete; `time_ms` is
    the commit time in MongoDB; `source` is whatever the caller needs to find the record again (topic,
    partition, offset).
    """

    table: str
    id: bytes
    id_type: str
    position: bytes
    time_ms: int
    document: bytes | None
    source: object


class Version(NamedTuple):
    """The state of a document that a change stands for: its key and position, the first fields of `Change`."""

    table: str
    id: bytes
    id_type: str
    position: bytes


class Rejected(NamedTuple):
    """A change that PostgreSQL refused for its own content, with the reason: it is to be dead-lettered."""

    change: Change
    error: CdcError


@dataclass(slots=True)
class Applied:
    """What a batch did; all counts together are the changes that were given.

    `stale` found a row that is as new already, or nothing to delete; `merged` were superseded inside the
    batch; `ignored` are deletes where `on_delete` is ignore.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    stale: int = 0
    merged: int = 0
    ignored: int = 0
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows that really changed."""
        return self.inserted + self.updated + self.deleted


class Applier(Protocol):
    """Writes batches; safe to call from many threads, each batch on a connection of its own."""

    @property
    def looks_ahead(self) -> bool:
        """Whether most changes of late were stale, so that asking `fresh` first costs less than it saves."""
        ...

    def fresh(self, versions: Sequence[Version | None]) -> Sequence[int]:
        """The indexes, in order, of those that are not known to be stale already (of None nothing is known).

        What is left out needs no `apply`: a position only grows (invariant I3), so what is stale stays stale.
        Blocks for a connection and for PostgreSQL. Raises what `apply` raises.
        """
        ...

    def apply(self, changes: Sequence[Change], partitions: Collection[Partition], left_out: int = 0) -> Applied:
        """Write one batch in one transaction; on return it is committed. Rejected changes are not in it.

        `left_out` more were stale by `fresh`; they are told as such.

        `partitions` are those the changes came from: when this process no longer owns one of them in the
        ledger, nothing is written and Fenced (or Rewound) is raised with those it lost. Blocks for a connection and for
        PostgreSQL. Raises Retryable (nothing of the batch is known to be written: apply it again), Denied,
        ConfigError, Fatal.
        """
        ...


class Fenced(CdcError):
    """Another process owns these partitions now: drop their changes, the new owner reads them again."""

    code = "partitions.fenced"
    reason = "another process took over {} partitions"

    def __init__(self, partitions: Collection[Partition]) -> None:
        super().__init__(self.reason.format(len(partitions)))
        self.partitions = frozenset(partitions)


class Rewound(Fenced):
    """The database may not hold any more what was written to it since these partitions were claimed: it was
    restarted, is another server now, or has gone back. What is in flight is dropped, they are claimed again and
    read from the offsets that the database has.
    """

    code = "database.changed"

    reason = "PostgreSQL was restarted, or is another server or an older copy now: {} partitions are claimed again"


class Ledger(Protocol):
    """Who owns which partition and from which offset it goes on, in PostgreSQL beside the rows.

    The WAL orders offsets and rows, so a crash or a restored backup rewinds them together (invariant I5). A claim
    is good for the server on which it was made: afterwards nobody knows whether the rows are still there.
    """

    def claim(
        self, partitions: Collection[Partition], topic_ids: Mapping[str, str] | None = None
    ) -> Mapping[Partition, int]:
        """Become the owner, after batches of the former owner that are under way have ended; the stored
        offsets.

        Partitions without a stored offset are absent from the answer. `topic_ids` are Kafka's ids of the topics, as
        far as the brokers have such: kept beside the offsets, which mean nothing in another topic of the same name.
        Blocks; raises Retryable, Denied, PositionLost (a topic was deleted and made anew: nothing is claimed).
        """
        ...

    def store(self, offsets: Mapping[Partition, int]) -> None:
        """Record the offsets to go on from, for partitions still owned; all or none. Never at the same time as
        `claim`. Raises Fenced, Rewound, Retryable.
        """
        ...

    def verify(self, partitions: Collection[Partition]) -> None:
        """Look whether these are still owned, in the database that they were claimed in: when there is nothing to
        write, nothing else notices that what was written is gone. Raises what `store` raises.
        """
        ...
