"""Whatever BSON holds comes back from the envelope as it was."""

from __future__ import annotations

import sys
from typing import Any

import bson
import orjson
import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_cli.envelope import Encoder, decode, decode_document, parse_document
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import Operation
from tests.support.bson_strategies import DOCUMENTS, IDS, document_of, string_element
from tests.unit.envelope.events import event, levelled, same_bson

OID = ObjectId("65a5f1c2e4b0a1b2c3d4e5f6")
UUID4 = bytes.fromhex("0123456789abcdef0123456789abcdef")

ON_THE_WIRE = [
    (OID, b'{"$oid":"65a5f1c2e4b0a1b2c3d4e5f6"}'),
    (1, b"1"),
    (2**63 - 1, b"9223372036854775807"),
    (1.0, b"1.0"),
    (1e308, b"1e+308"),
    (5e-324, b"5e-324"),
    (-0.0, b'{"$numberDouble":"-0.0"}'),
    (float("nan"), b'{"$numberDouble":"NaN"}'),
    (float("-inf"), b'{"$numberDouble":"-Infinity"}'),
    (Decimal128("NaN"), b'{"$numberDecimal":"NaN"}'),
    (Decimal128("1E+6000"), b'{"$numberDecimal":"1E+6000"}'),
    (Decimal128("1.00"), b'{"$numberDecimal":"1.00"}'),
    (DatetimeMS(1767323045678), b'{"$date":"2026-01-02T03:04:05.678Z"}'),
    (DatetimeMS(1767323045000), b'{"$date":"2026-01-02T03:04:05.000Z"}'),
    (DatetimeMS(-62135596800000), b'{"$date":"0001-01-01T00:00:00.000Z"}'),
    (DatetimeMS(-62135596800001), b'{"$date":{"$numberLong":"-62135596800001"}}'),
    (DatetimeMS(253402300799999), b'{"$date":"9999-12-31T23:59:59.999Z"}'),
    (DatetimeMS(253402300800000), b'{"$date":{"$numberLong":"253402300800000"}}'),
    (DatetimeMS(-(2**63)), b'{"$date":{"$numberLong":"-9223372036854775808"}}'),
    (b"\0\xff", b'{"$binary":{"base64":"AP8=","subType":"00"}}'),
    (Binary(UUID4, 4), b'{"$binary":{"base64":"ASNFZ4mrze8BI0VniavN7w==","subType":"04"}}'),
    (Binary(b"a", 128), b'{"$binary":{"base64":"YQ==","subType":"80"}}'),
    (Timestamp(2**32 - 1, 7), b'{"$timestamp":{"t":4294967295,"i":7}}'),
    (Regex("a/b", "mi"), b'{"$regularExpression":{"pattern":"a/b","options":"im"}}'),
    (Code("f()"), b'{"$code":"f()"}'),
    (Code("f()", {"$x": 1}), b'{"$code":"f()","$scope":{"$escaped":{"$x":1}}}'),
    (MinKey(), b'{"$minKey":1}'),
    (MaxKey(), b'{"$maxKey":1}'),
    (DBRef("c", OID, "d"), b'{"$ref":"c","$id":{"$oid":"65a5f1c2e4b0a1b2c3d4e5f6"},"$db":"d"}'),
    ({"$oid": "x"}, b'{"$escaped":{"$oid":"x"}}'),
    ({"$escaped": {"$escaped": 1}}, b'{"$escaped":{"$escaped":{"$escaped":{"$escaped":1}}}}'),
    ({"a": 1, "$oid": "x"}, b'{"a":1,"$oid":"x"}'),
    ("a\0b", b'"a\\u0000b"'),
    ("{\"$oid\":", b'"{\\"$oid\\":"'),
    ("ü😀", '"ü😀"'.encode()),
]


def document_bytes(document: Any) -> bytes:
    value = Encoder().encode(event(document))[1]
    found = decode(value).document
    assert found is not None
    return found


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(("value", "wire"), ON_THE_WIRE, ids=[wire[:40].decode() for _, wire in ON_THE_WIRE])
def test_each_type_has_its_place_in_json_and_comes_back(value: Any, wire: bytes) -> None:
    found = document_bytes({"value": value})

    assert found == b'{"value":%b}' % wire
    assert same_bson(parse_document(found)["value"]) == same_bson(value)


@pytest.mark.requirement("R1.3", "R4.3")
@settings(deadline=None)
@given(DOCUMENTS, IDS, st.sampled_from([Operation.INSERT, Operation.UPDATE, Operation.REPLACE]))
def test_any_document_comes_back_as_it_was(document: dict[str, Any], id_: Any, operation: Operation) -> None:
    original = event(document, id_, operation)

    envelope = decode(Encoder().encode(original)[1])

    assert envelope.document is not None
    assert envelope[:4] == (operation, "game.players", original.position.text.encode(), original.wall_ms)
    assert same_bson(parse_document(envelope.document)) == same_bson(document)
    assert same_bson(parse_document(envelope.id_json)) == same_bson(id_)


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS, DOCUMENTS, IDS)
def test_the_fast_and_the_exact_reader_agree(doc: Any, before: Any, update: Any, id_: Any) -> None:
    value = Encoder().encode(event(doc, id_, before=before, update=update))[1]

    # A white space in front sends a record to the exact reader.
    assert decode(b" " + value) == decode(value)


def test_different_documents_never_look_alike() -> None:
    lookalikes = [value for value, _ in ON_THE_WIRE] + [{"$minKey": 1}, {"$code": "f()"}, {"$ref": "c", "$id": 1}]
    texts = [wire.decode() for _, wire in ON_THE_WIRE]

    found = {document_bytes({"value": value}) for value in [*lookalikes, *texts]}

    # {"$ref", "$id"} is a DBRef to the driver too.
    assert len(found) == len(lookalikes) + len(texts)


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xed\xa0\x80\xed\xb0\x80", b"ok\xc3"])
def test_text_that_is_not_utf8_keeps_its_bytes(bad: bytes) -> None:
    decoded = decode_document(document_of(b"text", string_element(bad)))
    value = Encoder().encode(event().__class__(*event({})[:6], decoded))[1]

    value.decode("utf-8")
    document = decode(value).document
    assert document is not None
    assert parse_document(document)["text"].encode("utf-8", "surrogateescape") == bad


def test_a_field_name_that_is_not_utf8_keeps_its_bytes() -> None:
    decoded = decode_document(document_of(b"n\xff", b"\x10\x01\0\0\0"))
    document = decode(Encoder().encode(event()._replace(document=decoded))[1]).document

    assert document == b'{"n\\udcff":1}'


def test_bytes_that_are_no_bson_are_poison() -> None:
    with pytest.raises(PoisonEvent) as raised:
        decode_document(b"\x05\0\0\0")

    assert raised.value.code == "bson.undecodable"


@pytest.mark.parametrize("depth", [100, 180, 280])
def test_deep_nesting_comes_back(depth: int) -> None:
    document: dict[str, Any] = {"end": float("nan")}
    for _ in range(depth):
        document = {"a": document}

    found = parse_document(document_bytes(document))
    for _ in range(depth):
        found = found["a"]
    assert found["end"] != found["end"]


def test_nesting_beyond_what_python_follows_is_poison_not_a_crash() -> None:
    document: Any = 1
    for _ in range(sys.getrecursionlimit() * 3):
        document = [document]

    with pytest.raises(PoisonEvent, match="nested too deeply"):
        Encoder().encode(event()._replace(document={"a": document}))


def test_a_type_that_bson_does_not_have_is_poison() -> None:
    with pytest.raises(PoisonEvent, match="complex") as raised:
        Encoder().encode(event()._replace(document={"a": 1j}))

    assert raised.value.code == "value.unknown"


def test_a_big_document_passes_through_the_fast_reader_unparsed() -> None:
    document = {"_id": OID, "items": ["x" * 100] * 150_000, "end": DatetimeMS(0)}
    value = Encoder().encode(event(document))[1]

    found = decode(value).document
    assert found is not None
    assert len(found) > 15_000_000
    assert orjson.loads(found)["end"] == {"$date": "1970-01-01T00:00:00.000Z"}


def test_a_whole_document_that_looks_like_a_reference_survives() -> None:
    document = {"_id": 8, "$ref": "c", "$id": 1}

    found = parse_document(document_bytes(document))

    assert bson.encode(levelled(dict(found.as_doc()))) == bson.encode({"$ref": "c", "$id": 1, "_id": 8})
