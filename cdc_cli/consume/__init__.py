"""Consuming: reading raw records from Kafka as a member of a consumer group, and committing offsets after data.

The contract is `Consumer`, one thread's object. *Offset* always means the next to read. Records are raw bytes:
a deserializer that raises inside the driver would never return. Offsets are committed explicitly, only what
`offsets.py` has found to be the contiguous done prefix (invariant I5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Partition(NamedTuple):
    topic: str
    number: int


class RawRecord(Protocol):
    """A record as it stands in Kafka. `timestamp` is Kafka's, epoch milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Rebalance(NamedTuple):
    """What changed hands since the last poll."""

    revoked: frozenset[Partition]
    assigned: frozenset[Partition]


class Consumer(Protocol):
    """A group member without auto-commit and without any automatic offset reset."""

    def start(self) -> None:
        """Connect and subscribe to `topics` of the settings. Raises Retryable, Denied, ConfigError."""
        ...

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        """Records per partition in offset order; empty after `timeout` seconds without any.

        Never returns records of a partition that `rebalance()` has not reported as assigned and that has not been
        `seek`-ed since. Raises Retryable, Denied, PositionLost (offset out of range).
        """
        ...

    def rebalance(self) -> Rebalance | None:
        """What changed hands since the last call, None = nothing. To be asked after every poll."""
        ...

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Offsets that the group has committed in Kafka; partitions without one are absent. Blocks."""
        ...

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """(first offset kept, end offset) per partition. Blocks."""
        ...

    def end(self, partition: Partition) -> int | None:
        """The partition's end as the last fetch told it; None = not known. Asks nobody."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from there; a newly assigned partition delivers nothing before it.

        Reading may wait until every partition that was assigned together has been positioned.
        """
        ...

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Fetch nothing from these until `resume`; the membership in the group is kept by polling on."""
        ...

    def resume(self, partitions: Sequence[Partition]) -> None: ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the group. Raises Retryable; a commit refused because the group moved on raises TryLater."""
        ...

    def refresh(self) -> None:
        """Look for new topics, now and then; a cheap call when it is not time yet. Raises what `poll` raises."""
        ...

    def close(self, timeout: float) -> None:
        """Leave the group within `timeout` seconds; never raises."""
        ...
