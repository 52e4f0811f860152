"""A change that is read the quick way is the one that decoding it as a whole gives, whatever it looks like."""

from __future__ import annotations

import datetime
import struct
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId, Timestamp
from bson.errors import BSONError
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.capture import Captured
from cdc_cli.capture.decode import event_of, position_of
from cdc_cli.capture.quick import Quick, QuickDecoder, captured
from cdc_cli.envelope import Encoder, codec_options
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import ChangeEvent, Mark, Position
from tests.support.bson_strategies import DOCUMENTS, IDS

OID = ObjectId("65a5f1c2e4b0a1b2c3d4e5f6")
TOKEN = {"_data": "826B047F8F000000022B022C0100296E5A10046FCD3434A3F44BD58A71256323CF38E0"}
WALL = datetime.datetime(2026, 11, 23, 1, 2, 3, 456000)
PREVIOUS = Position(1764046833, 2, 4)


def change(document: Any = None, id_: Any = OID, operation: str = "insert", **fields: Any) -> dict[str, Any]:
    """In the order in which MongoDB writes the fields; `None` leaves one out, others may be added behind the times."""
    before: dict[str, Any] = {name: fields.pop(name) for name in ("txnNumber", "lsid") if name in fields}
    whole: dict[str, Any] = {
        "_id": TOKEN,
        "operationType": operation,
        "clusterTime": Timestamp(1764046833, 2),
        "wallTime": WALL,
        **before,
        "fullDocument": document,
        "ns": {"db": "game", "coll": "players"},
        "documentKey": {"_id": id_},
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def item_of(decoded: Any, previous: Position | None) -> Captured:
    if isinstance(decoded, Quick):
        return captured(decoded, previous)
    position = position_of(decoded, previous)
    return Captured(event_of(decoded, position), Mark(decoded["_id"], position, position[:2], True))


def both(raw: bytes, decoder: QuickDecoder | None = None) -> Any:
    """What the quick way makes of it; it is an error of the test if decoding as a whole makes something else."""
    decoder = decoder or warmed()
    for previous in (None, PREVIOUS, Position(1764046833, 1, 0)):
        whole = item_of(bson.decode(raw, codec_options()), previous)
        item = item_of(decoder(raw), previous)
        assert fingerprint(item) == fingerprint(whole)
    return decoder(raw)


def fingerprint(item: Captured) -> Any:
    """By what is sent: as objects NaN is not equal to itself, and 1 is equal to 1.0."""
    assert isinstance(item.event, ChangeEvent)
    try:
        sent: Any = Encoder().encode(item.event)
    except PoisonEvent as error:
        sent = error.message
    return sent, item.mark, item.event[:3], item.event[4:6]


def warmed() -> QuickDecoder:
    decoder = QuickDecoder(codec_options())
    decoder(bson.encode(change({"_id": OID})))
    return decoder


@pytest.mark.parametrize("operation", ["insert", "update", "replace"])
def test_the_usual_change_is_read_quickly(operation: str) -> None:
    extra = {"updateDescription": {"updatedFields": {"n": 1}}} if operation == "update" else {}
    assert isinstance(both(bson.encode(change({"_id": OID, "n": 1}, OID, operation, **extra))), Quick)


@given(DOCUMENTS, IDS)
def test_every_document_and_key_is_read_as_by_decoding_it_whole(document: dict[str, Any], id_: Any) -> None:
    both(bson.encode(change({"_id": id_, **document}, id_)))


@pytest.mark.parametrize(
    "other",
    [
        change({"_id": OID}, txnNumber=Int64(3), lsid={"id": 1}),
        change({"_id": OID}, fullDocumentBeforeChange={"_id": OID}),
        change({"_id": OID}, operation="update", updateDescription={"a": 1}, fullDocumentBeforeChange={"_id": OID}),
        change({"_id": OID}, splitEvent={"fragment": 1}),
        change(None, operation="delete"),
        change(None, operation="update", updateDescription={"updatedFields": {}}),
        change({"_id": 1.0}, 1),
        {**change({"_id": OID}), "documentKey": {"region": "eu", "_id": OID}},
        {name: value for name, value in change({"_id": OID}).items() if name != "wallTime"},
    ],
)
def test_what_is_not_usual_is_decoded_as_a_whole(other: dict[str, Any]) -> None:
    assert not isinstance(both(bson.encode(other)), Quick)


def test_the_collection_may_change_from_one_change_to_the_next() -> None:
    decoder = QuickDecoder(codec_options())
    for database, collection in (("game", "players"), ("game", "guilds"), ("g", "ame.players"), ("game", "players")):
        one = change({"_id": OID}) | {"ns": {"db": database, "coll": collection}}
        event = item_of(both(bson.encode(one), decoder), None).event
        assert event.namespace == f"{database}.{collection}"


@given(DOCUMENTS, st.data())
def test_damaged_changes_are_never_read_as_something_else(document: dict[str, Any], data: st.DataObject) -> None:
    raw = bson.encode(change({"_id": OID, **document}))
    at = data.draw(st.integers(4, len(raw) - 1))
    damaged = raw[:at] + data.draw(st.binary(max_size=6)) + raw[at + data.draw(st.integers(0, 6)) :]
    damaged = struct.pack("<i", len(damaged)) + damaged[4:]
    try:
        bson.decode(damaged, codec_options())["ns"]
    except (BSONError, KeyError):
        return
    try:
        found = warmed()(damaged)
    except BSONError:
        return
    if isinstance(found, Quick):
        assert fingerprint(captured(found, None)) == fingerprint(item_of(bson.decode(damaged, codec_options()), None))
