"""The record key: one for every `_id`, as MongoDB tells them apart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, ObjectId, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_cli.envelope import Encoder
from cdc_cli.events import Operation
from tests.support.bson_strategies import IDS, same_number_otherwise
from tests.unit.envelope.events import event

NAN = float("nan")


def key(id_: Any) -> bytes:
    return Encoder().encode(event({}, id_))[0]


@pytest.mark.requirement("R8.3")
@pytest.mark.parametrize(
    "alike",
    [
        [1, Int64(1), 1.0, Decimal128("1"), Decimal128("1.00"), Decimal128("10E-1")],
        [0, 0.0, -0.0, Decimal128("-0E+3")],
        [0.5, Decimal128("0.50")],
        [2.0**70, Decimal128("1180591620717411303424")],
        [2.0**63, Decimal128("9223372036854775808")],
        [2**53 + 1, Decimal128("9007199254740993")],
        [2.0**-40, Decimal128(Decimal(2.0**-40))],
        [NAN, Decimal128("NaN")],
        [float("inf"), Decimal128("Infinity")],
        [{"a": [1, {"b": -0.0}]}, {"a": [1.0, {"b": Decimal128("0")}]}],
        [Decimal128("1E+6000"), Decimal128("10E+5999")],
    ],
)
def test_values_that_mongodb_takes_for_one_id_have_one_key(alike: list[Any]) -> None:
    assert len({key(id_) for id_ in alike}) == 1


@pytest.mark.requirement("R8.3")
def test_values_that_mongodb_tells_apart_have_different_keys() -> None:
    oid = ObjectId("65a5f1c2e4b0a1b2c3d4e5f6")
    different = [
        oid, str(oid), {"$oid": str(oid)}, {"oid": str(oid)}, b"65a5f1c2e4b0", Binary(b"65a5f1c2e4b0", 5),
        1, "1", True, Timestamp(0, 1), {"a": 1}, {"a": "1"},
        2**53 + 1, 2.0**53, 2**63 - 1, 2.0**63, 0.1, Decimal128("0.1"), 1e23, Decimal128("1E+23"),
        Decimal128("0.1000000000000000055511151231257827"), 1e300, Decimal128("1E+300"),
        None, "null", "NaN", NAN, float("inf"), float("-inf"),
        {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": None}, {}, "", "\0",
        "f()", Code("f()"), Code("f()", {}), DBRef("c", 1), DBRef("c", 1, "d"),
    ]  # fmt: skip

    assert len({key(id_) for id_ in different}) == len(different)


@settings(deadline=None)
@given(st.data())
def test_the_type_of_a_number_never_changes_the_key(data: st.DataObject) -> None:
    id_ = data.draw(IDS)

    assert key(data.draw(same_number_otherwise(id_))) == key(id_)


@settings(deadline=None)
@given(IDS, IDS)
def test_ids_share_a_key_only_when_they_are_equal(one: Any, other: Any) -> None:
    assert (key(one) == key(other)) == equal(one, other)


def equal(one: Any, other: Any) -> bool:
    """MongoDB's equality, written down a second time by other means: types, exact values, order of fields."""
    if number(one) is not None or number(other) is not None:
        return number(one) == number(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(map(equal, one.values(), other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, Binary | bytes) and isinstance(other, Binary | bytes):
        return bytes(one) == bytes(other) and getattr(one, "subtype", 0) == getattr(other, "subtype", 0)
    if isinstance(one, Code) and isinstance(other, Code):
        return str(one) == str(other) and equal(one.scope, other.scope)
    if isinstance(one, DBRef) and isinstance(other, DBRef):
        return equal(dict(one.as_doc()), dict(other.as_doc()))
    return type(one) is type(other) and bool(one == other)


def number(value: Any) -> str | Decimal | None:
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    exact = Decimal(value)
    return "NaN" if exact.is_nan() else exact


def test_the_key_is_the_same_for_every_operation_and_with_every_extra() -> None:
    document = {"_id": {"p": 1.0}}
    encoder = Encoder()
    keys = {
        encoder.encode(event(document, {"p": 1}, operation, before=document, missing=missing))[0]
        for operation in Operation
        for missing in (True, False)
    }

    assert keys == {b'{"_id":{"p":1}}'}


def test_the_collection_stands_in_front_where_collections_share_a_topic() -> None:
    encoder = Encoder(with_namespace=True)

    assert encoder.encode(event({}, "a"))[0] == b'{"ns":"game.players","_id":"a"}'
    assert encoder.encode(event({}, "a")._replace(collection='p"'))[0] == b'{"ns":"game.p\\"","_id":"a"}'


def test_endless_collections_do_not_fill_the_memory() -> None:
    encoder = Encoder()
    first = encoder.encode(event({}))
    for number_ in range(10_001):
        encoder.encode(event({})._replace(collection=f"c{number_}"))

    assert len(encoder._heads) <= 10_000
    assert encoder.encode(event({})) == first
