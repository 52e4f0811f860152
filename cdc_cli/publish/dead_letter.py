"""What a dead letter looks like: the original bytes, and headers that say what failed, where, and how often.

The headers are ours (`cdc.*`) and, so that existing tools can read them, Kafka Connect's (`__connect.errors.*`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cdc_cli.errors import CdcError
from cdc_cli.publish import Record

LONGEST_MESSAGE = 1000
REPLAY_COUNT = "cdc.replay_count"
NULL_VALUE = "cdc.origin.null_value"


class Origin(NamedTuple):
    """Where the record stood in Kafka; `timestamp_ms` is Kafka's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


def dead_letter(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    error: CdcError,
    stage: str,
    now: float,
    origin: Origin | None = None,
    extra: Mapping[str, str] | None = None,
    earlier: Sequence[tuple[str, bytes]] = (),
) -> Record:
    """The record to publish; `stage` is capture, publish, consume or apply, `now` is epoch seconds.

    `earlier` are the headers of a dead letter that failed again in a replay: its first origin (or that it never
    had one), its first time and what else it said are kept; only the error is the new one.
    """
    known = {name: data for name, data in earlier if name.startswith(("cdc.", "__connect."))}
    if "cdc.error.code" in known and "cdc.origin.topic" not in known:
        origin = None
    headers: dict[str, str] = {
        "cdc.error.code": error.code,
        "cdc.error.stage": stage,
        "cdc.error.message": error.message[:LONGEST_MESSAGE],
        "cdc.last_failed_at": f"{now:.3f}",
        "__connect.errors.exception.class.name": type(error).__name__,
        "__connect.errors.exception.message": error.message[:LONGEST_MESSAGE],
        **(extra or {}),
    }
    first = {"cdc.first_failed_at": f"{now:.3f}", REPLAY_COUNT: "0", **_origin(origin)}
    fresh = {name: text.encode("utf-8", "replace") for name, text in {**first, **headers}.items()}
    encoded = {**known, **fresh, **{name: known[name] for name in first if name in known}}
    if value is None:
        encoded[NULL_VALUE] = b"true"
    return Record(topic, key, value if value is not None or key is not None else b"", tuple(encoded.items()))


def _origin(origin: Origin | None) -> dict[str, str]:
    if origin is None:
        return {}
    return {
        "cdc.origin.topic": origin.topic,
        "cdc.origin.partition": str(origin.partition),
        "cdc.origin.offset": str(origin.offset),
        "cdc.origin.timestamp": str(origin.timestamp_ms),
        "__connect.errors.topic": origin.topic,
        "__connect.errors.partition": str(origin.partition),
        "__connect.errors.offset": str(origin.offset),
    }
