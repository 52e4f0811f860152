"""Value of a Kafka record -> Envelope, without parsing the document.

The fast way is one regular expression over the fixed beginning of a record; the document is the rest of the
bytes. It proves that the beginning is what it says; that the rest is one JSON object, PostgreSQL proves when
it takes it as jsonb (anything after the document, say a further key, makes it invalid JSON and so a rejected
row, never a misread one). Every other shape takes the exact way: any order of keys, white space, foreign
producers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from cdc_cli.envelope.members import Members, malformed, top_level_members
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import Operation, Position


class Envelope(NamedTuple):
    """A record's content; JSON parts are still bytes of Extended JSON.

    `position` compares as bytes in stream order, `time_ms` is the commit time in MongoDB. `document` is None
    for a delete and when there was none (`missing`: it was gone at look-up). `before` and `update` as
    captured.
    """

    operation: Operation
    namespace: str
    position: bytes
    time_ms: int
    id_json: bytes
    document: bytes | None
    missing: bool
    before: bytes | None
    update: bytes | None


_STRING: Final = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'


def _object(depth: int) -> bytes:
    """Balanced braces, strings skipped as a whole, no back-tracking; deeper nesting does not match."""
    inner = b"|" + _object(depth - 1) if depth > 1 else b""
    return rb'\{(?:[^{}"\x00-\x1f]++|' + _STRING + inner + rb")*+\}"


BALANCED: Final = _object(6)
"""Pattern of a JSON object up to six levels deep."""

POSITION_AND_TIME: Final = rb'([0-9]{10}\.[0-9]{10}\.[0-9]{10})","ts":(-?[0-9]{1,18}),"id":'
"""Pattern of what stands between the head of a record and its `_id`."""

_RECORD: Final = re.compile(
    rb'\{"v":1,"op":"(insert|update|replace|delete)","ns":(' + _STRING + rb"),"
    rb'"pos":"' + POSITION_AND_TIME +
    rb'(\{"\$oid":"[0-9a-f]{24}"\}|' + _STRING + rb"|-?[0-9]{1,19}|" + _object(3) + rb")"
    rb'(,"missing":true)?+(?:,"before":(' + BALANCED + rb'))?+(?:,"update":(' + BALANCED + rb"))?+"
    rb'(?:,"doc":(?=(\{))|\}\Z)'
)
_OPERATIONS: Final = {operation.encode(): operation for operation in Operation}


def decode(value: bytes | None) -> Envelope:
    """Read a record's value; about 2 us when this package wrote it.

    Raises PoisonEvent with code `envelope.null_value`, `envelope.version` (written by a newer version) or
    `envelope.malformed`. `id_json` and the documents are balanced but not validated yet: whoever parses them
    (the mapper, PostgreSQL) may still find them malformed.
    """
    if value is None:
        raise PoisonEvent("the record has no value: not written by this program", code="envelope.null_value")
    match = _RECORD.match(value)
    if match is None:
        return _decode_exactly(value)
    operation, namespace, position, time_ms, id_json, missing, before, update, has_document = match.groups()
    document = None
    if has_document is not None:
        document = value[match.end() : -1]
        if value[-2:] != b"}}":
            return _decode_exactly(value)
    envelope = (
        _OPERATIONS[operation],
        _namespace(namespace),
        position,
        int(time_ms),
        id_json,
        document,
        missing is not None,
        before,
        update,
    )
    return tuple.__new__(Envelope, envelope)


@lru_cache(maxsize=4096)
def _namespace(raw: bytes) -> str:
    try:
        namespace = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise malformed("its namespace is not a JSON string") from exc
    return _checked_namespace(namespace)


def _checked_namespace(namespace: str) -> str:
    database, dot, collection = namespace.partition(".")
    if not (database and dot and collection):
        raise malformed("its namespace is not database.collection")
    return namespace


def _decode_exactly(value: bytes) -> Envelope:
    members = top_level_members(value)
    version = members.integer("v")
    if version != 1:
        raise PoisonEvent(
            f"cannot read a record of envelope version {version}: this program knows version 1",
            hint="upgrade this program before the one that writes to the topic",
            code="envelope.version",
        )
    return Envelope(
        operation=_operation(members),
        namespace=_checked_namespace(members.string("ns")),
        position=_position(members),
        time_ms=members.integer("ts"),
        id_json=members.raw("id"),
        document=members.optional_object("doc"),
        missing=members.boolean("missing"),
        before=members.optional_object("before"),
        update=members.optional_object("update"),
    )


def _operation(members: Members) -> Operation:
    try:
        return Operation(members.string("op"))
    except ValueError as exc:
        raise malformed("its operation is unknown") from exc


def _position(members: Members) -> bytes:
    text = members.string("pos")
    try:
        position = Position.parse(text)
    except ValueError as exc:
        raise malformed("its position cannot be read") from exc
    if position.text != text:
        raise malformed("its position cannot be read")
    return text.encode("ascii")
