"""A batch of changes as MongoDB sent it: cut into documents at once, decoded one by one when they are read.

A decoded document takes five to ten times its BSON in memory: a batch of large ones, decoded as a whole, would take
hundreds of megabytes. One that is used right after it was decoded is also still in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any, Generic, TypeVar

from bson import encode
from bson.raw_bson import RawBSONDocument

_T = TypeVar("_T")
_SIZE = Struct("<i")
_ARRAY = b"\x04"
_END = b"\x00"


class Batch(Generic[_T]):
    """Changes in stream order; reading one raises what decoding it raises (InvalidBSON)."""

    def __init__(self, changes: Sequence[_T], decode: Callable[[_T], Any]) -> None:
        self._changes = changes
        self._decode = decode

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Any]:
        return map(self._decode, self._changes)


def split_reply(cursor: bytes, name: str) -> tuple[bytes, bytes]:
    """The array called `name` of a reply's cursor, and the cursor as a document without it.

    The servers put the batch first; should one not do so, the long way finds it.
    """
    head = _ARRAY + name.encode() + _END
    start = _SIZE.size + len(head)
    if cursor[_SIZE.size : start] == head:
        end = start + _SIZE.unpack_from(cursor, start)[0]
        return cursor[start:end], _SIZE.pack(_SIZE.size + len(cursor) - end) + cursor[end:]
    whole = RawBSONDocument(cursor)
    array = encode({str(at): document for at, document in enumerate(whole[name])})
    return array, encode({key: value for key, value in whole.items() if key != name})


def documents_of(array: bytes) -> list[bytes]:
    """The documents of a BSON array; https://bsonspec.org/spec.html: type, index as a string, document."""
    found = []
    at, last, key = _SIZE.size, len(array) - 1, 0
    size_of = _SIZE.unpack_from
    while at < last:
        at += 2 + len(str(key))
        end = at + size_of(array, at)[0]
        found.append(bytes(array[at:end]))
        at = end
        key += 1
    return found
