"""A change-stream document as an event. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from bson.datetime_ms import DatetimeMS

from cdc_cli.events import ChangeEvent, Operation, Position

_OPERATIONS = {operation.value: operation for operation in Operation}
_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_UTC = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def position_of(change: Mapping[str, Any], previous: Position | None) -> Position:
    """The change's position; `previous` is that of the change before it in the stream, for the ordinal.

    In a transaction the ordinal is the number that MongoDB has given the change. It does not depend on what the stream
    leaves out, so positions stay comparable when the filter or the number of shards changes.
    """
    time = change["clusterTime"]
    seconds, increment = time.time, time.inc
    ordinal = ordinal_after(previous, seconds, increment)
    if "txnNumber" in change:
        ordinal = max(ordinal, _place_in_transaction(change["_id"]))
    return tuple.__new__(Position, (seconds, increment, ordinal))


def ordinal_after(previous: Position | None, seconds: int, increment: int) -> int:
    """The number among the changes of one cluster time, from 0."""
    if previous is None or previous[1] != increment or previous[0] != seconds:
        return 0
    return previous[2] + 1


def _place_in_transaction(token: Mapping[str, Any]) -> int:
    """The number of the operation in its transaction, from 0, as the change's token has it; 0 where it is not found.

    The token is a KeyString in hexadecimal: Timestamp, version, type, number. Such an integer is a byte that says
    how many others follow (0x29: none, the value is 0), and those are twice the value.
    """
    try:
        raw = bytes.fromhex(token["_data"][18:66])
        for _ in range(2):
            raw = raw[raw[0] - 0x29 if raw[0] > 0x29 else 1 :]
        length = max(0, raw[0] - 0x2A)
        number = int.from_bytes(raw[1 : 1 + length], "big") >> 1
        return number if length <= 4 else 0
    except (KeyError, TypeError, ValueError, IndexError):
        return 0


def event_of(change: Mapping[str, Any], position: Position) -> ChangeEvent:
    """The event; raises KeyError or TypeError for a document that is no insert, update, replace or delete."""
    operation = _OPERATIONS[change["operationType"]]
    namespace = change["ns"]
    document = None if operation is Operation.DELETE else change.get("fullDocument")
    update = None
    if operation is Operation.UPDATE and "fullDocument" not in change:
        update = change.get("updateDescription")
    event = (
        operation,
        namespace["db"],
        namespace["coll"],
        change["documentKey"]["_id"],
        position,
        wall_ms(change.get("wallTime"), position),
        document,
        change.get("fullDocumentBeforeChange"),
        update,
        document is None and update is None and operation is not Operation.DELETE,
    )
    return tuple.__new__(ChangeEvent, event)


def wall_ms(wall: object, position: Position) -> int:
    """Commit time in epoch milliseconds; before MongoDB 6.0 only the seconds of the cluster time are known."""
    if isinstance(wall, datetime.datetime):
        since = wall - (_EPOCH if wall.tzinfo is None else _EPOCH_UTC)
        return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    if isinstance(wall, DatetimeMS):
        return int(wall)
    return position.seconds * 1000
