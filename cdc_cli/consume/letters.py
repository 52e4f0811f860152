"""A dead letter read back: what its headers say, and the record that it was. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cdc_cli.consume import Partition, RawRecord
from cdc_cli.publish.dead_letter import NULL_VALUE, REPLAY_COUNT, Origin


class Letter(NamedTuple):
    """`partition` and `record` are where and what it is in the dead-letter topic; times are epoch seconds."""

    partition: Partition
    record: RawRecord
    code: str
    stage: str
    message: str
    origin: Origin | None
    replay_count: int
    first_failed_at: float | None
    last_failed_at: float | None
    about: dict[str, str]

    @property
    def value(self) -> bytes | None:
        """The original bytes; None where the record had no value."""
        return None if NULL_VALUE in self.about else self.record.value

    @property
    def source(self) -> str:
        """The topic it comes from; a change that never reached Kafka has a namespace instead."""
        return self.origin.topic if self.origin is not None else self.about.get("cdc.namespace", "")


class Again(NamedTuple):
    """A `RawRecord`: the original, with the headers that it needs should it fail once more."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


def backlog_group(group_id: str) -> str:
    """The group whose offsets mark the dead letters that were not replayed yet; it never has members."""
    return f"{group_id}-dlq"


def read_letter(partition: Partition, record: RawRecord) -> Letter:
    """Whatever stands in the topic; headers that are missing or not ours read as empty."""
    about = {name: data.decode("utf-8", "replace") for name, data in record.headers or () if data is not None}
    return Letter(
        partition,
        record,
        about.get("cdc.error.code", ""),
        about.get("cdc.error.stage", ""),
        about.get("cdc.error.message", ""),
        _origin(about),
        _integer(about.get(REPLAY_COUNT)) or 0,
        _seconds(about.get("cdc.first_failed_at")),
        _seconds(about.get("cdc.last_failed_at")),
        about,
    )


def again(letter: Letter) -> Again:
    """The record to apply once more; its replay count has gone up by one."""
    record = letter.record
    headers = [(name, data) for name, data in record.headers or () if name != REPLAY_COUNT]
    headers.append((REPLAY_COUNT, str(letter.replay_count + 1).encode()))
    return Again(record.offset, record.key, letter.value, record.timestamp, headers)


def _origin(about: dict[str, str]) -> Origin | None:
    topic = about.get("cdc.origin.topic")
    numbers = [_integer(about.get(f"cdc.origin.{name}")) for name in ("partition", "offset", "timestamp")]
    partition, offset, timestamp = numbers
    if topic is None or partition is None or offset is None:
        return None
    return Origin(topic, partition, offset, -1 if timestamp is None else timestamp)


def _integer(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
