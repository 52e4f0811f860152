"""From envelope to row: the whole of a change, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bson import ObjectId

from cdc_cli.apply import Change
from cdc_cli.apply.mapping import Mapper
from cdc_cli.envelope import Encoder, decode
from cdc_cli.envelope.bson_values import box_double
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import Operation
from tests.unit.envelope.events import POSITION, WALL_MS, event

OID = ObjectId("65a5f1c2e4b0a1b2c3d4e5f6")


def mapped(mapper: Mapper, document: Any, operation: Operation = Operation.UPDATE, **rest: Any) -> Change | None:
    value = Encoder().encode(event(document, OID, operation, **rest))[1]
    return mapper.map(decode(value), ("topic", 0, 7))


@pytest.mark.requirement("R4.3", "R1.3")
def test_a_change_has_all_that_the_writer_needs() -> None:
    assert mapped(Mapper(), {"_id": OID, "n": 1}) == Change(
        table="game.players",
        id=b"65a5f1c2e4b0a1b2c3d4e5f6",
        id_type="objectId",
        position=POSITION.text.encode(),
        time_ms=WALL_MS,
        document=b'{"_id":"65a5f1c2e4b0a1b2c3d4e5f6","n":1}',
        source=("topic", 0, 7),
    )


def test_a_delete_is_a_change_without_a_document() -> None:
    change = mapped(Mapper(), None, Operation.DELETE)

    assert change is not None
    assert (change.id, change.document) == (b"65a5f1c2e4b0a1b2c3d4e5f6", None)


def test_an_update_whose_document_was_gone_writes_nothing_because_its_delete_follows() -> None:
    assert mapped(Mapper(), None, Operation.UPDATE, missing=True) is None


@pytest.mark.parametrize("operation", [Operation.INSERT, Operation.UPDATE, Operation.REPLACE])
def test_a_change_that_should_have_a_document_and_has_none_is_poison(operation: Operation) -> None:
    with pytest.raises(PoisonEvent) as raised:
        mapped(Mapper(), None, operation, update={"updatedFields": {"a": 1}})

    assert raised.value.code == "envelope.no_document"
    assert "full_document" in raised.value.hint


def test_extended_json_stays_as_it_is_on_the_wire() -> None:
    document = {"_id": OID, "d": float("nan"), "z": -0.0, "e": {"$oid": "x"}}
    mapper = Mapper("ejson")

    change = mapped(mapper, document)

    assert change is not None
    assert change.document == (
        b'{"_id":{"$oid":"65a5f1c2e4b0a1b2c3d4e5f6"},"d":{"$numberDouble":"NaN"},'
        b'"z":{"$numberDouble":"-0.0"},"e":{"$escaped":{"$oid":"x"}}}'
    )
    assert not mapper.adjusted


def test_what_no_jsonb_can_hold_is_adjusted_in_extended_json_too() -> None:
    mapper = Mapper("ejson")

    found = change_of(mapper, {"a\ud800": ["x\0y", float("nan")]})

    assert found == '{"a\ufffd":["x\ufffdy",{"$numberDouble":"NaN"}]}'.encode()
    assert mapper.adjusted == {"nul": 1, "surrogate": 1}


COLLIDING = dict(zip(["k\udcff", "k\udcfe", "k\ufffd", "k\ufffd~2"], [1, 2, 3, 4], strict=True))

UNSUPPORTED = [
    ({"a": "x\0y"}, '{"a":"x\ufffdy"}', {"nul": 1}),
    ({"a": "x\udcff"}, '{"a":"x\ufffd"}', {"surrogate": 1}),
    ({"a": "\0\udcff\0"}, '{"a":"\ufffd\ufffd\ufffd"}', {"nul": 1, "surrogate": 1}),
    ({"a": float("nan")}, '{"a":"NaN"}', {"non_finite": 1}),
    ({"a": [float("inf"), float("-inf")]}, '{"a":["Infinity","-Infinity"]}', {"non_finite": 2}),
    ({"a": -0.0}, '{"a":0.0}', {"negative_zero": 1}),
    (COLLIDING, '{"k\ufffd~3":1,"k\ufffd~4":2,"k\ufffd":3,"k\ufffd~2":4}', {"surrogate": 2, "name": 2}),
]  # fmt: skip


def change_of(mapper: Mapper, document: Any) -> bytes | None:
    """By way of an event whose document did not come through BSON, which has no way to write surrogates."""
    boxed = event({})._replace(document=_boxed(document))
    change = mapper.map(decode(Encoder().encode(boxed)[1]), None)
    assert change is not None
    return change.document


def _boxed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _boxed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_boxed(item) for item in value]
    return box_double(value) if isinstance(value, float) else value


@pytest.mark.parametrize(("document", "expected", "counts"), UNSUPPORTED)
def test_what_postgresql_cannot_hold_is_adjusted_and_counted(document: Any, expected: str, counts: Any) -> None:
    mapper = Mapper()

    assert change_of(mapper, document) == expected.encode()
    assert mapper.adjusted == counts


@pytest.mark.parametrize(("document", "expected", "counts"), UNSUPPORTED)
def test_or_is_refused_as_poison(document: Any, expected: str, counts: Any) -> None:
    mapper = Mapper(on_unsupported_value="dead_letter")

    with pytest.raises(PoisonEvent) as raised:
        change_of(mapper, document)

    assert raised.value.code == "value.unsupported"
    assert not mapper.adjusted


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\\ud800", "😀", '\\"', "\x01\x1f"])
def test_text_that_only_looks_unholdable_is_left_alone(text: str) -> None:
    mapper = Mapper(on_unsupported_value="dead_letter")

    document = change_of(mapper, {"a": text, text: 1})

    assert document is not None
    assert json.loads(document) == {"a": text, text: 1}


def test_an_escaped_emoji_of_another_producer_is_no_lone_surrogate() -> None:
    value = Encoder().encode(event({"a": "SMILE"}))[1].replace(b"SMILE", b"\\ud83d\\ude00")

    change = Mapper(on_unsupported_value="dead_letter").map(decode(value), None)

    assert change is not None
    assert change.document == '{"a":"😀"}'.encode()


def test_integers_beyond_64_bits_of_another_producer_keep_every_digit() -> None:
    value = Encoder().encode(event({"a": 111, "nan": float("nan")}))[1].replace(b"111", b"1" * 40)

    change = Mapper().map(decode(value), None)

    assert change is not None
    assert change.document == b'{"a":%b,"nan":"NaN"}' % (b"1" * 40)


@pytest.mark.parametrize("jsonb_format", ["natural", "ejson"])
def test_nesting_that_cannot_be_followed_is_poison(jsonb_format: Any) -> None:
    value = Encoder().encode(event({"a": "\0DEEP"}))[1]
    value = value.replace(b'"\\u0000DEEP"', b'{"a":' * 3000 + b'"\\u0000"' + b"}" * 3000)

    with pytest.raises(PoisonEvent):
        Mapper(jsonb_format).map(decode(value), None)
