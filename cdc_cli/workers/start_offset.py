"""Where a partition is read from when it begins: what PostgreSQL, the group and Kafka say about it. Pure."""

from __future__ import annotations

from cdc_cli.consume import Partition
from cdc_cli.errors import PositionLost
from cdc_cli.observe.log import EventLog

log = EventLog(__name__)


def start_offset(
    partition: Partition, stored: int | None, committed: int | None, bounds: tuple[int, int]
) -> int:
    """Where to go on: PostgreSQL's own offset, since it is exactly as old as the rows beside it.

    A smaller offset committed in Kafka is an operator's wish to read again and is followed. Without an offset in
    PostgreSQL everything that Kafka keeps is read, whatever the group committed: the rows are not there.
    Raises PositionLost when Kafka no longer has the stored offset. One beyond the end is for the fetch to refuse:
    a broker may answer late about its end, and only the fetch knows for certain.
    """
    first, _ = bounds
    if stored is None:
        if committed is not None and committed > first:
            log.warn(
                "offsets.not_in_postgres",
                "PostgreSQL knows no offset of %s %d, though the group committed %d: reading from %d again",
                partition.topic,
                partition.number,
                committed,
                first,
                topic=partition.topic,
                partition=partition.number,
            )
        return first
    if stored < first:
        raise PositionLost(
            f"the next offset of {partition.topic} partition {partition.number} is {stored}, "
            f"but Kafka's first is {first}: the retention of what lies between has passed",
            "events may be missing from PostgreSQL: compare it with MongoDB, then set the offset in cdc.offsets "
            "to what Kafka has (or delete the row to read everything that is kept)",
            "offset.out_of_range",
        )
    if committed is not None and first <= committed < stored:
        log.info(
            "offsets.rewound",
            "the group's offset %d of %s %d is behind PostgreSQL's %d: reading again from there",
            committed,
            partition.topic,
            partition.number,
            stored,
            topic=partition.topic,
            partition=partition.number,
        )
        return committed
    return stored


def tell_loss(partition: Partition, known: int, before: int) -> None:
    """PostgreSQL's offset can be ahead of what we and Kafka remember of it, never behind: unless it went back."""
    log.error(
        "database.went_back",
        "PostgreSQL went back: it had stored the offset %d of %s %d and has %d now, everything since is read again",
        before,
        partition.topic,
        partition.number,
        known,
        topic=partition.topic,
        partition=partition.number,
    )
