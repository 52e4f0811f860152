"""Records that we wrote, that others wrote, and that are garbage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.envelope import Encoder, Envelope, decode, parse_document
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import Operation
from tests.unit.envelope.events import POSITION, WALL_MS, event

POS = POSITION.text.encode()


def record(**changes: Any) -> dict[str, Any]:
    whole = {"v": 1, "op": "insert", "ns": "game.players", "pos": POSITION.text, "ts": WALL_MS, "id": 1, "doc": {}}
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@pytest.mark.requirement("R4.3")
def test_a_record_has_fixed_key_order_with_the_document_last() -> None:
    changed = event({"a": 1}, "x", Operation.UPDATE, before={"a": 0}, update={"updatedFields": {"a": 1}})

    value = Encoder().encode(changed)[1]

    assert value == (
        b'{"v":1,"op":"update","ns":"game.players","pos":"1764046833.0000000002.0000000000","ts":1764046833120,'
        b'"id":"x","before":{"a":0},"update":{"updatedFields":{"a":1}},"doc":{"a":1}}'
    )
    assert decode(value) == Envelope(
        Operation.UPDATE,
        "game.players",
        POS,
        WALL_MS,
        b'"x"',
        b'{"a":1}',
        False,
        b'{"a":0}',
        b'{"updatedFields":{"a":1}}',
    )


def test_a_delete_has_no_document() -> None:
    value = Encoder().encode(event(None, ObjectId(), Operation.DELETE))[1]

    assert b'"doc"' not in value
    assert decode(value).document is None


def test_an_update_whose_document_was_gone_says_so() -> None:
    envelope = decode(Encoder().encode(event(None, 1, Operation.UPDATE, missing=True))[1])

    assert envelope.missing
    assert envelope.document is None


@pytest.mark.parametrize("name", ['odd"name', "a.b.c", "ü", "back\\slash", "tab\tname"])
def test_odd_collection_names_come_back(name: str) -> None:
    assert decode(Encoder().encode(event({})._replace(collection=name))[1]).namespace == f"game.{name}"


def test_other_producers_may_use_any_order_and_white_space_and_further_members() -> None:
    reordered = dict(reversed(record(doc={"n": 10**30, "f": 0.1, "doc": [1]}, extra={"a": [None]}).items()))

    envelope = decode(json.dumps(reordered, indent=1).encode())

    assert envelope[:5] == (Operation.INSERT, "game.players", POS, WALL_MS, b"1")
    assert envelope.document is not None
    assert json.loads(envelope.document) == reordered["doc"]
    assert str(10**30).encode() in envelope.document


def test_numbers_of_any_length_pass_as_they_are() -> None:
    digits = b"7" * 5000
    value = compact(record()).replace(b"{}", b'{"n":%b}' % digits)

    assert decode(b" " + value).document == decode(value).document == b'{"n":%b}' % digits


@pytest.mark.parametrize("after", [b'"x":{}', b'"x":{"doc":{}}', b'"op":"delete","y":{}'])
def test_a_member_after_the_document_is_never_taken_as_part_of_it(after: bytes) -> None:
    value = compact(record(doc={"a": 1}))[:-1] + b"," + after + b"}"

    document = decode(value).document

    # What is handed on is no JSON, so PostgreSQL rejects it: nothing is misread.
    assert document is not None
    with pytest.raises(ValueError):
        json.loads(document)


@pytest.mark.parametrize("tail", [b"}", b"]", b" ", b"x", b"\n", b"{}", b"}}", b',"a":1}'])
def test_trailing_bytes_never_pass_for_a_document(tail: bytes) -> None:
    value = compact(record(doc={"a": 1})) + tail
    try:
        document = decode(value).document
    except PoisonEvent as error:
        assert error.code == "envelope.malformed"
        return
    if tail.isspace():
        assert document == b'{"a":1}'
        return
    with pytest.raises(ValueError):
        json.loads(document or b"")


GARBAGE = [
    b"", b"\0", b"null", b"[]", b"{", b"{}", b'"text"', b"\xff\xfe", b"{" * 5000, b"[" * 100_000, b'{"v":1}',
    compact(record())[:-1], compact(record()) + b"{}", b'{"v":1,' + compact(record())[1:],
    compact(record(op="drop")), compact(record(op=...)), compact(record(ns="nodot")), compact(record(ns=".x")),
    compact(record(ns=5)), compact(record(pos="1.2.3")), compact(record(pos="x" * 32)), compact(record(pos=5)),
    compact(record(pos="٠" * 10 + ".0000000002.0000000000")),
    compact(record(ts="5")), compact(record(ts=1.5)), compact(record(ts=True)), compact(record(id=...)),
    compact(record(doc=[])), compact(record(doc="{}")), compact(record(missing=1)), compact(record(before=[])),
    compact(record()).replace(b"{}", b'{"a":NaN}').replace(b'"ts"', b' "ts"'),
    compact(record()).replace(b'"v":1', b' "v":1').replace(b"{}", b"[" * 100_000),
    compact(record()).replace(b'"v":1', b' "v":1').replace(b"{}", b'{"a":"\n"}'),
]  # fmt: skip


@pytest.mark.requirement("R4.4")
@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_poison_and_never_a_crash(value: bytes) -> None:
    with pytest.raises(PoisonEvent) as raised:
        decode(value)

    assert raised.value.code == "envelope.malformed"


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 200))
def test_damage_anywhere_is_poison_or_leaves_a_readable_record(noise: bytes, start: int, length: int) -> None:
    value = Encoder().encode(event({"a": {"b": "text"}}, ObjectId(), before={"x": 1}))[1]
    damaged = value[:start] + noise + value[start + length :]
    try:
        assert decode(damaged).operation in Operation
    except PoisonEvent as error:
        assert error.code in ("envelope.malformed", "envelope.version")


def test_a_record_without_a_value_is_poison() -> None:
    with pytest.raises(PoisonEvent) as raised:
        decode(None)

    assert raised.value.code == "envelope.null_value"


@pytest.mark.parametrize("version", [0, 2, 10, -1])
def test_a_newer_version_is_named_and_refused(version: int) -> None:
    with pytest.raises(PoisonEvent, match=f"version {version}") as raised:
        decode(compact(record(v=version)))

    assert raised.value.code == "envelope.version"
    assert raised.value.hint


BAD_WRAPPERS = [
    {"$oid": "xyz"}, {"$oid": 5}, {"$oid": "65a5f1c2e4b0a1b2c3d4e5f6", "a": 1}, {"$date": "yesterday"}, {"$date": None},
    {"$date": "٢٠٢٦-01-02T03:04:05.678Z"}, {"$date": {"$numberLong": "1e5"}}, {"$date": {"$numberLong": str(2**63)}},
    {"$numberLong": "1_0"}, {"$numberDouble": "nan"}, {"$numberDouble": "1e999"}, {"$numberDecimal": "1_0"},
    {"$numberDecimal": "1E+7000"}, {"$binary": {"base64": "?", "subType": "00"}},
    {"$binary": {"base64": "", "subType": "zz"}},
    {"$binary": "AA=="}, {"$timestamp": {"t": -1, "i": 0}}, {"$timestamp": {"i": 0, "t": 0}}, {"$code": 5},
    {"$code": "f", "$scope": 5}, {"$code": "f", "x": 5}, {"$regularExpression": {"pattern": "a"}}, {"$minKey": 2},
    {"$ref": 5, "$id": 1}, {"$ref": "c"}, {"$escaped": 5}, {"$escaped": {}, "a": 1}, {"$set": {"a": 1}}, {"$": 1},
    {"$uuid": "no"},
]  # fmt: skip


@pytest.mark.parametrize("wrapper", BAD_WRAPPERS, ids=lambda wrapper: json.dumps(wrapper)[:50])
def test_a_wrapper_of_another_shape_is_poison_not_a_guess(wrapper: Any) -> None:
    with pytest.raises(PoisonEvent) as raised:
        parse_document(compact({"a": [wrapper]}))

    assert raised.value.code == "envelope.malformed"


@pytest.mark.parametrize("text", [b"NaN", b"1e999", b"[" * 100_000, b"\xff", b"1" * 5000, b""])
def test_what_json_or_a_double_cannot_say_is_poison(text: bytes) -> None:
    with pytest.raises(PoisonEvent):
        parse_document(text)
