"""What stands in Kafka, read record by record without a group and without any code of the product."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

from cdc_cli.demo.servers.process import wait_until


class Kept(NamedTuple):
    """A record as it stands in Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]

    @property
    def event(self) -> dict[str, Any]:
        """The parsed envelope."""
        parsed: dict[str, Any] = json.loads(self.value or b"null")
        return parsed


class Topics:
    """A look at one broker; use as a context manager or `close()`."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=32 << 20,
            fetch_max_bytes=64 << 20,
        )

    def names(self, prefix: str = "") -> set[str]:
        return {name for name in self._consumer.topics() if name.startswith(prefix)}

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        found: list[TopicPartition] = []
        for topic in sorted(set(topics) & self.names()):
            found += [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic) or ()]
        return found

    def ends(self, topics: Collection[str]) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset that the next record will get."""
        found = self._consumer.end_offsets(self.partitions(topics))
        return {tuple(partition): offset for partition, offset in found.items()}

    def read(self, topics: Collection[str]) -> list[Kept]:
        """Everything that is kept now, in order within each partition."""
        partitions = self.partitions(topics)
        if not partitions:
            return []
        ends = self._consumer.end_offsets(partitions)
        self._consumer.assign(partitions)
        self._consumer.seek_to_beginning(*partitions)
        kept: list[Kept] = []
        while any(self._consumer.position(p) < end for p, end in ends.items()):
            for batch in self._consumer.poll(timeout_ms=500, max_records=5000).values():
                kept += [
                    Kept(r.topic, r.partition, r.offset, r.key, r.value, dict(r.headers or ()))
                    for r in batch
                    if r.offset < ends[TopicPartition(r.topic, r.partition)]
                ]
        return kept

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """What the group has committed in Kafka."""
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        found: Mapping[Any, Any] = {}

        def ask() -> bool:
            nonlocal found
            try:
                found = admin.list_group_offsets({group: None})[group]
            except (NotCoordinatorError, CoordinatorLoadInProgressError, CoordinatorNotAvailableError):
                return False  # the broker is still making its topic of offsets
            return True

        try:
            assert wait_until(ask, 20), "the broker has no coordinator for the group"
        finally:
            admin.close()
        return {tuple(partition): meta.offset for partition, meta in found.items() if meta.offset >= 0}

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Topics:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
