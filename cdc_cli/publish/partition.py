"""The partition of a key: CRC-32 of its bytes modulo the number of partitions, the same on every driver.

This is librdkafka's `consistent` partitioner, so that other producers can agree with us. It runs in C here;
Java's murmur2 in Python costs more than the rest of the send path. Adding partitions moves keys: order across
that moment is restored by the position guard of the rows (invariant I3).
"""

from __future__ import annotations

from zlib import crc32


def partition_of(key: bytes | None, partitions: int) -> int:
    """The partition number in 0 .. partitions-1; records without a key go to partition 0."""
    return 0 if key is None else crc32(key) % partitions
