"""Hypothesis strategies for everything that BSON can hold, with a taste for what goes wrong."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any

from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from hypothesis import strategies as st

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT32 = st.integers(0, 2**32 - 1)

ODD_TEXT = ["", "\0", "a\0b", "\\u0000", "\\", '"', '{"$oid":"', '{"$oid":"65a5f1c2e4b0a1b2c3d4e5f6"}', "\u2028", "😀"]
ODD_NAMES = ["", ".", "a.b", "$", "$oid", "$date", "$escaped", "$ref", "$id", "$numberLong", "__proto__", "_id", '"']

TEXT = st.sampled_from(ODD_TEXT) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
"""Any text that is UTF-8; NUL included."""

NAMES = st.sampled_from(ODD_NAMES) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
"""Field names: BSON ends them with NUL, so they hold none."""

INTEGERS = st.integers(-100, 100) | INT64.map(Int64) | st.sampled_from([2**53, 2**53 + 1, Int64(1)])
DOUBLES = st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e308, 5e-324, 2.0**53, 2.0**63]) | st.floats().map(
    lambda value: float("nan") if value != value else value  # the bits of a NaN are not kept, as the envelope says
)
DECIMALS = st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "0", "-0", "1", "1.0", "0.1", "0.50", "1E+6000", "1E-6000", "9007199254740993"]
).map(Decimal128) | st.binary(min_size=16, max_size=16).map(
    # Through text: of several bit patterns for one decimal, only one is ever written.
    lambda bid: Decimal128(str(Decimal128.from_bid(bid)))
)
NUMBERS = INTEGERS | DOUBLES | DECIMALS

DATES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
    lambda date: date.replace(microsecond=date.microsecond // 1000 * 1000)
) | INT64.map(DatetimeMS)

SUBTYPES = st.sampled_from([0, 1, 3, 4, 5, 6, 7, 128, 255])
BINARIES = st.binary(max_size=30) | st.builds(
    Binary, st.binary(max_size=20) | st.binary(min_size=16, max_size=16), SUBTYPES
)

OTHERS = (
    st.none()
    | st.booleans()
    | st.binary(min_size=12, max_size=12).map(ObjectId)
    | DATES
    | BINARIES
    | st.builds(Timestamp, UINT32, UINT32)
    | st.builds(Regex, NAMES, st.sampled_from(["", "i", "im", "ilmsux"]))
    | TEXT.map(Code)
    | st.sampled_from([MinKey(), MaxKey()])
)

SCALARS = TEXT | NUMBERS | OTHERS


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(NAMES, values, max_size=4)
    return (
        fields
        | st.lists(values, max_size=4)
        | st.builds(Code, TEXT, fields)
        | st.builds(DBRef, NAMES, values, st.none() | NAMES)
    )


VALUES = st.recursive(SCALARS, _containers, max_leaves=12)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=6)
"""Documents as one would insert them; `bson.encode` takes them all."""

IDS = TEXT | NUMBERS | OTHERS.filter(lambda value: not isinstance(value, Regex)) | st.dictionaries(
    NAMES.filter(lambda name: not name.startswith("$")), VALUES, max_size=3
)
"""What MongoDB takes as `_id`: no array, no regular expression, no field that starts with `$`."""


def same_number_otherwise(value: Any) -> st.SearchStrategy[Any]:
    """Values equal to this one as MongoDB compares, written with another type where there is one."""
    if isinstance(value, dict):
        # Not fixed_dictionaries: that may change the order, which is part of an _id.
        items = st.tuples(*map(same_number_otherwise, value.values()))
        return items.map(lambda items: dict(zip(value, items, strict=True)))
    if isinstance(value, list):
        return st.tuples(*map(same_number_otherwise, value)).map(list)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return st.just(value)
    alike: list[Any] = [value]
    if value == value and abs(value) < 2**53 and value == int(value):
        alike += [int(value), Int64(value), float(value), Decimal128(str(int(value))), Decimal128(f"{int(value)}.00")]
    return st.sampled_from(alike)


def document_of(name: bytes, element: bytes) -> bytes:
    """A BSON document by hand, for what the driver would refuse to write: `element` starts with its type byte."""
    body = element[:1] + name + b"\0" + element[1:] + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def string_element(data: bytes) -> bytes:
    """A BSON string of any bytes, UTF-8 or not."""
    return b"\x02" + struct.pack("<i", len(data) + 1) + data + b"\0"
