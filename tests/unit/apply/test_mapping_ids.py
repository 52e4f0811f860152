"""The row's key: readable, one per `_id`, and no two `_id`s in one row."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given, settings

from cdc_cli.apply.ids import MAX_ID_BYTES, row_id
from cdc_cli.envelope import Encoder, decode
from cdc_cli.envelope.exact_json import exact_json
from cdc_cli.errors import PoisonEvent
from tests.support.bson_strategies import IDS
from tests.unit.envelope.events import event

UUID4 = bytes.fromhex("0123456789abcdef0123456789abcdef")

READABLE = [
    (ObjectId("65a5f1c2e4b0a1b2c3d4e5f6"), b"65a5f1c2e4b0a1b2c3d4e5f6", "objectId"),
    ("abc", b"abc", "string"),
    ("", b"", "string"),
    ('a"b\\c\td', b'a"b\\c\td', "string"),
    ("ü😀", "ü😀".encode(), "string"),
    (5, b"5", "number"),
    (Int64(-5), b"-5", "number"),
    (5.0, b"5", "number"),
    (-0.0, b"0", "number"),
    (0.5, b"0.5", "number"),
    (2**63 - 1, b"9223372036854775807", "number"),
    (Decimal128("5.00"), b"5", "number"),
    (Decimal128("0.1"), b"1E-1", "decimal"),
    (Decimal128("1E+6000"), b"1E+6000", "decimal"),
    (Decimal128("NaN"), b"NaN", "number"),
    (float("-inf"), b"-Infinity", "number"),
    (True, b"true", "bool"),
    (None, b"null", "null"),
    (DatetimeMS(0), b"1970-01-01T00:00:00.000Z", "date"),
    (DatetimeMS(2**62), b"+146140482-04-24T15:36:27.904Z", "date"),
    (Binary(UUID4, 4), b"01234567-89ab-cdef-0123-456789abcdef", "uuid"),
    (Binary(UUID4, 3), b"ASNFZ4mrze8BI0VniavN7w==", "binary:03"),
    (b"ab", b"YWI=", "binary"),
    (Timestamp(5, 6), b"5:6", "timestamp"),
    ({"p": 5.0, "s": "x"}, b'{"p":5,"s":"x"}', "object"),
    (DBRef("c", 1), b'{"$ref":"c","$id":1}', "object"),
    (Code("f()"), b'{"$code":"f()"}', "javascript"),
    (MinKey(), b'{"$minKey":1}', "minKey"),
    (MaxKey(), b'{"$maxKey":1}', "maxKey"),
    ("a\0b", b"a\\u0000b", "string:escaped"),
]


def id_of(value: Any) -> tuple[bytes, str]:
    return row_id(decode(Encoder().encode(event({}, value))[1]).id_json)


@pytest.mark.requirement("R8.3")
@pytest.mark.parametrize(("value", "text", "kind"), READABLE, ids=[repr(row[0])[:40] for row in READABLE])
def test_ids_read_as_a_person_would_write_them(value: Any, text: bytes, kind: str) -> None:
    assert id_of(value) == (text, kind)


@pytest.mark.requirement("R8.3")
@settings(deadline=None, max_examples=300)
@given(IDS, IDS)
def test_rows_are_the_same_exactly_when_the_record_keys_are(one: Any, other: Any) -> None:
    encoder = Encoder()
    keys = [encoder.encode(event({}, value))[0] for value in (one, other)]

    assert (id_of(one) == id_of(other)) == (keys[0] == keys[1])


@settings(deadline=None)
@given(IDS)
def test_every_id_fits_the_index_and_is_text_that_postgresql_takes(value: Any) -> None:
    text, kind = id_of(value)

    assert len(text) <= MAX_ID_BYTES
    assert "\0" not in text.decode("utf-8")
    assert len(kind) <= 20


def test_long_ids_are_hashed_and_stay_apart() -> None:
    texts = ["x" * 2000, "x" * 2001, "x" * 3000, "x" * 1999 + "\0", "x" * 1999 + "\\u0000", "x" * 2000 + "\0"]
    found = [id_of(text) for text in texts]

    assert found[0] == (b"x" * 2000, "string")
    assert [kind for _, kind in found[1:]] == ["string:sha256"] * 5
    assert len(set(found)) == len(texts)
    assert id_of({"a": "x" * 3000})[1] == "object:sha256"
    assert id_of(b"x" * 3000)[1] == "binary:sha256"
    assert id_of(Binary(b"x" * 3000, 5)) != id_of(b"x" * 3000)


def test_text_that_is_not_utf8_is_marked_and_stays_apart() -> None:
    found = {row_id(exact_json(text)) for text in ["\udcff", "\\udcff", "\udcfe", "\ufffd"]}

    assert (b"\\udcff", "string:escaped") in found
    assert (b"\\udcff", "string") in found
    assert len(found) == 4


@pytest.mark.parametrize("id_json", [b'"\\u0061"', b'"a"'])
def test_how_another_producer_escapes_a_string_does_not_matter(id_json: bytes) -> None:
    assert row_id(id_json) == (b"a", "string")


@pytest.mark.parametrize("id_json", [b"-0", b"0", b"0.0", b"0e5", b'{"$numberInt":"0"}', b'{"$numberLong":"0"}'])
def test_how_another_producer_writes_a_number_does_not_matter(id_json: bytes) -> None:
    assert row_id(id_json) == (b"0", "number")


@pytest.mark.parametrize("id_json", [b'{"a" 1}', b"{,}", b"007", b'{"$oid":"65A"}', b'"\xff\\n"', b"[", b""])
def test_an_id_that_is_not_json_is_poison(id_json: bytes) -> None:
    with pytest.raises(PoisonEvent) as raised:
        row_id(id_json)

    assert raised.value.code == "envelope.malformed"


def test_regular_expressions_and_arrays_have_a_form_though_mongodb_refuses_them_as_ids() -> None:
    assert id_of(Regex("a", "i")) == (b'{"$regularExpression":{"pattern":"a","options":"i"}}', "regex")
    assert id_of([1.0]) == (b"[1]", "array")
