"""ChangeEvent -> key and value of a Kafka record."""

from __future__ import annotations

from binascii import hexlify
from typing import Any, Final

from bson import DBRef, Decimal128, Int64, ObjectId

from cdc_cli.envelope.bson_values import BoxedCode, SpecialDouble
from cdc_cli.envelope.exact_json import exact_json, exact_string
from cdc_cli.envelope.fast_json import FastJson
from cdc_cli.events import ChangeEvent, Operation

VERSION: Final = 1

_MAX_HEADS: Final = 10_000
"""Beginnings of records kept, one per operation and collection: a bound where collections are endless."""

_NUMERIC: Final = frozenset({dict, list, float, Decimal128, SpecialDouble, BoxedCode, DBRef})
"""The types that are, or may hold, numbers of several types with the same value."""

_Head = tuple[bytes, bytes]


def record_head(operation: Operation, namespace: str) -> bytes:
    """How a record of the operation in `database.collection` begins; its position follows."""
    return b'{"v":%d,"op":"%b","ns":%b,"pos":"' % (VERSION, operation.encode(), exact_string(namespace))


class Encoder:
    """Encodes events one at a time; not thread-safe, make one per thread. Pure CPU, never blocks.

    The key depends on the document's `_id` alone (and on the collection when `with_namespace`, for topics
    that several collections share), so every event of a document lands in the same partition, whatever its
    operation.
    """

    def __init__(self, with_namespace: bool = False) -> None:
        self._with_namespace = with_namespace
        self._json = FastJson()
        self._heads: dict[tuple[Operation, str, str], _Head] = {}

    def encode(self, event: ChangeEvent) -> tuple[bytes, bytes]:
        """Key and value. Documents must have been decoded with `codec_options`.

        Raises PoisonEvent for what no encoding can hold; the reason is its message.
        """
        operation, database, collection, id_, position, wall_ms, document, before, update, missing = event
        head = self._heads.get((operation, database, collection)) or self._new_head(event)
        id_json, canonical = self._id(id_)
        rest = b""
        if missing or before is not None or update is not None:
            rest = self._rest(event)
        place = b'%010d.%010d.%010d","ts":%d,"id":' % (*position, wall_ms)
        key = b"%b%b}" % (head[1], canonical)
        if document is None:
            return key, b"".join((head[0], place, id_json, rest, b"}"))
        doc = self._json.dumps(document)
        return key, b"".join((head[0], place, id_json, rest, b',"doc":', doc, b"}"))

    def _id(self, value: Any) -> tuple[bytes, bytes]:
        """The `_id` as it is, and in canonical form; the same for the usual types."""
        kind = type(value)
        if kind is ObjectId:
            id_json = b'{"$oid":"%b"}' % hexlify(value.binary)
        elif kind is str:
            id_json = exact_string(value)
        elif kind is int or kind is Int64:
            id_json = b"%d" % value
        elif kind in _NUMERIC:
            return self._json.dumps(value), exact_json(value, canonical=True)
        else:
            id_json = self._json.dumps(value)
        return id_json, id_json

    def _rest(self, event: ChangeEvent) -> bytes:
        rest = b',"missing":true' if event.missing else b""
        if event.before is not None:
            rest += b',"before":' + self._json.dumps(event.before)
        if event.update is not None:
            rest += b',"update":' + self._json.dumps(event.update)
        return rest

    def _new_head(self, event: ChangeEvent) -> _Head:
        head = (
            record_head(event.operation, event.namespace),
            b'{"ns":%b,"_id":' % exact_string(event.namespace) if self._with_namespace else b'{"_id":',
        )
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        self._heads[event[:3]] = head
        return head
