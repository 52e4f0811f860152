"""Which offsets may be committed: per partition, the next to read of the contiguous done prefix. Pure.

Records of one partition are spread over the lanes and finish out of order. Each lane finishes its own in order,
so the first unfinished offset of a partition is the smallest head among its lanes (invariant I5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from cdc_cli.consume import Partition


class Assignment:
    """One partition while it is ours. The poll thread adds, each lane's thread finishes, anybody may ask.

    A partition that is taken away and comes back gets a new assignment: `revoked` marks the old one, whose
    records are dropped wherever they are met.
    """

    __slots__ = ("_position", "partition", "pending", "revoked")

    def __init__(self, partition: Partition, offset: int, lanes: int) -> None:
        self.partition = partition
        self.revoked = False
        self.pending: list[deque[int]] = [deque() for _ in range(lanes)]
        self._position = offset

    def reached(self, offset: int) -> None:
        """Everything before `offset` has been added to its lane; to be called after adding."""
        self._position = offset

    def done(self, lane: int, count: int) -> None:
        """The lane has finished the next `count` of its records, in order."""
        pending = self.pending[lane]
        for _ in range(count):
            pending.popleft()

    def committable(self) -> int:
        """The next offset to read after a restart: nothing before it is unfinished."""
        # The position is read first: what is added meanwhile lies behind it, so a head can only hold it back.
        lowest = self._position
        for pending in self.pending:
            try:
                lowest = min(lowest, pending[0])
            except IndexError:
                continue
        return lowest


class Offsets:
    """The assignments of this process."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._current: dict[Partition, Assignment] = {}
        self._stored: dict[Partition, int | None] = {}

    @property
    def current(self) -> Mapping[Partition, Assignment]:
        return self._current

    def assign(self, partition: Partition, offset: int, stored: int | None = None) -> Assignment:
        """The partition is ours and is read from `offset`; `stored` is the offset known to be committed.

        While none is, the first one is committed before anything is read, so that a later start notices when
        Kafka has dropped what was never read.
        """
        self.revoke([partition])
        assignment = self._current[partition] = Assignment(partition, offset, self._lanes)
        self._stored[partition] = stored
        return assignment

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """The partitions are not ours any more."""
        for partition in partitions:
            assignment = self._current.pop(partition, None)
            self._stored.pop(partition, None)
            if assignment is not None:
                assignment.revoked = True

    def committable(self) -> dict[Partition, int]:
        """What moved since `stored` was last told."""
        found = {p: a.committable() for p, a in list(self._current.items())}
        return {p: offset for p, offset in found.items() if offset != self._stored.get(p)}

    def known(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offsets that are known to be committed."""
        found = ((partition, self._stored.get(partition)) for partition in partitions)
        return {partition: offset for partition, offset in found if offset is not None}

    def stored(self, offsets: Mapping[Partition, int]) -> None:
        """These have been committed."""
        for partition, offset in offsets.items():
            if partition in self._current:
                self._stored[partition] = offset
