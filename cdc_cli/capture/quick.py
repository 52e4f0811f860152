"""The usual change, read with its document decoded and nothing else.

Half of the price of decoding a change is that of its frame: token, times, names and key become a dozen objects, to be
taken apart again at once. MongoDB writes the frame of an insert, an update or a replacement always in the same order,
so here it is compared as bytes. Whatever looks otherwise (a transaction, a pre-image, a delete, a document that was
gone at look-up, an older server) is decoded as a whole, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from struct import Struct
from typing import Any, Final, NamedTuple

from bson import CodecOptions, decode

from cdc_cli.capture import Captured
from cdc_cli.capture.decode import ordinal_after
from cdc_cli.events import ChangeEvent, Mark, Operation, Position

_HEAD: Final = re.compile(
    rb".{4}\x03_id\x00.{4}\x02_data\x00.{4}([^\x00]+)\x00\x00"
    rb"\x02operationType\x00.{4}(insert|update|replace)\x00\x11clusterTime\x00"
    rb"(?=.{8}\x09wallTime\x00.{8}\x03fullDocument\x00.{4})",
    re.DOTALL,
).match
_TIMES: Final = Struct("<II10xq14xi").unpack_from
"""Behind `clusterTime`: its increment and seconds, `wallTime` in ms, the size of `fullDocument`."""
_DOCUMENT: Final = 40
_SIZE: Final = Struct("<i").unpack_from
_NAMES: Final = re.compile(
    rb"\x03ns\x00(.{4}\x02db\x00.{4}[^\x00]+\x00\x02coll\x00.{4}[^\x00]+\x00\x00)\x03documentKey\x00", re.DOTALL
)
_DESCRIPTION: Final = b"\x03updateDescription\x00"
_OPERATIONS: Final = {operation.encode(): operation for operation in Operation}
_NOTHING: Final = b"\0"


class Quick(NamedTuple):
    """A change: no transaction, with a document, whose first field is its `_id`."""

    token: Mapping[str, Any]
    operation: Operation
    seconds: int
    increment: int
    wall_ms: int
    names: tuple[str, str]
    document: Mapping[str, Any]


class QuickDecoder:
    """Decodes one change: a `Quick` where possible, else a mapping. Raises bson's errors. Not thread-safe."""

    def __init__(self, codec: CodecOptions[Any]) -> None:
        self._codec = codec
        self._middle = _NOTHING
        self._names = ("", "")

    def __call__(self, raw: bytes) -> Quick | Mapping[str, Any]:
        match = _HEAD(raw)
        if match is not None:
            at = match.end()
            increment, seconds, wall_ms, size = _TIMES(raw, at)
            end = at + _DOCUMENT + size
            document = raw[at + _DOCUMENT : end]
            if (raw.startswith(self._middle, end) or self._learn(raw, end)) and self._fits(raw, end, document):
                token, operation = match.groups()
                found: Mapping[str, Any] = decode(document, self._codec)
                change = ({"_data": token.decode()}, _OPERATIONS[operation], seconds, increment, wall_ms)
                return tuple.__new__(Quick, (*change, self._names, found))
        whole: Mapping[str, Any] = decode(raw, self._codec)
        return whole

    def _learn(self, raw: bytes, at: int) -> bool:
        """What stands between document and key is the same as long as the collection is."""
        match = _NAMES.match(raw, at) if at > 0 else None
        if match is None:
            return False
        names = decode(match[1])
        self._middle, self._names = match[0], (names["db"], names["coll"])
        return True

    def _fits(self, raw: bytes, at: int, document: bytes) -> bool:
        """Whether the key is what the document begins with, and ends the change; the description of an update may
        follow, which nobody asks for when there is a document.
        """
        start = at + len(self._middle)
        end = _end_of(raw, start)
        if not document.startswith(raw[start + 4 : end - 1], 4):
            return False
        if raw.startswith(_DESCRIPTION, end):
            end = _end_of(raw, end + len(_DESCRIPTION))
        return end == len(raw) - 1


def _end_of(raw: bytes, start: int) -> int:
    """Where the document that begins at `start` ends, by its own word; 0 when there is none."""
    end: int = start + _SIZE(raw, start)[0] if start + 4 <= len(raw) else 0
    return end


def captured(change: Quick, previous: Position | None) -> Captured:
    """The event and its mark; `previous` is the position of the change before it, for the ordinal.

    `tuple.__new__` makes the same objects as their classes would, at half the price.
    """
    token, operation, seconds, increment, wall_ms, names, document = change
    new = tuple.__new__
    position = new(Position, (seconds, increment, ordinal_after(previous, seconds, increment)))
    event = (operation, names[0], names[1], document["_id"], position, wall_ms, document, None, None, False)
    mark = new(Mark, (token, position, (seconds, increment), True))
    return new(Captured, (new(ChangeEvent, event), mark))
