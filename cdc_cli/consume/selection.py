"""Which records a replay is about, told by topic and key: a record that cannot be decoded has them too. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator
from typing import Any, Final

import orjson
from bson import Binary, ObjectId

from cdc_cli.envelope import Encoder, parse_document
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import ChangeEvent, Operation, Position

_STRING: Final = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
_KEY: Final = re.compile(rb'\{(?:"ns":(' + _STRING + rb'),)?"_id":(.+)\}', re.DOTALL)
_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EXACT: Final = ("{", '"', "[")


class Selection:
    """Filters; None = all. `topics` are where a record was first (of a dead letter: its origin), `namespaces`
    are `database.collection` for topics that several collections share, `ids` as `ids_of` gives them.
    """

    def __init__(
        self,
        topics: Collection[str] | None = None,
        namespaces: Collection[str] | None = None,
        ids: Collection[bytes] | None = None,
    ) -> None:
        self._topics = None if topics is None else frozenset(topics)
        self._namespaces = None if namespaces is None else frozenset(namespaces)
        self._ids = None if ids is None else frozenset(ids)

    def takes(self, topic: str, key: bytes | None) -> bool:
        """Whether such a record is meant; a key that we did not write is meant by no filter over keys."""
        if self._topics is not None and topic not in self._topics:
            return False
        if self._namespaces is None and self._ids is None:
            return True
        match = _KEY.fullmatch(key or b"")
        if match is None:
            return False
        namespace, id_json = match.groups()
        if self._ids is not None and id_json not in self._ids:
            return False
        if self._namespaces is None:
            return True
        return namespace is not None and orjson.loads(namespace) in self._namespaces


def ids_of(text: str) -> frozenset[bytes]:
    """Every `_id` that a person may mean by this text, as it stands in record keys.

    24 hexadecimal digits are an ObjectId or a string, 42 a number or a string, and so on: all of them are
    taken, since applying a record once more is harmless. Canonical Extended JSON (an object, an array, a quoted
    string) means one value. Raises ValueError for what begins like JSON and is none.
    """
    return frozenset(_in_key(value) for value in _meanings(text))


def _meanings(text: str) -> Iterator[Any]:
    if text.startswith(_EXACT):
        yield _parsed(text)
        return
    yield text
    if _OBJECT_ID.fullmatch(text):
        yield ObjectId(text)
    if _UUID.fullmatch(text):
        yield Binary.from_uuid(uuid.UUID(text))
    try:
        yield _parsed(text)
    except ValueError:
        return


def _parsed(text: str) -> Any:
    try:
        return parse_document(text.encode("utf-8", "surrogatepass"))
    except PoisonEvent as exc:
        raise ValueError(f"{text!r} begins like JSON but is no Extended JSON") from exc


def _in_key(value: Any) -> bytes:
    """By the encoder itself, so that both always agree."""
    event = ChangeEvent(Operation.DELETE, "d", "c", value, Position(0, 0, 0), 0)
    match = _KEY.fullmatch(Encoder().encode(event)[0])
    assert match is not None
    return match[2]
