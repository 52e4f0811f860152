"""Documents in natural form, as a person would query them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdc_cli.apply.dates import iso_date
from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.natural import Natural, unwrap_simple
from cdc_cli.apply.text import Adjuster
from cdc_cli.envelope import Encoder, decode, parse_document
from tests.support.bson_strategies import DOCUMENTS
from tests.unit.envelope.events import event

OID = ObjectId("65a5f1c2e4b0a1b2c3d4e5f6")
UUID4 = bytes.fromhex("0123456789abcdef0123456789abcdef")

NATURAL = [
    (OID, "65a5f1c2e4b0a1b2c3d4e5f6"),
    (DatetimeMS(1767323045678), "2026-01-02T03:04:05.678Z"),
    (DatetimeMS(-62135596800001), "0000-12-31T23:59:59.999Z"),
    (DatetimeMS(-62167219200001), "-000001-12-31T23:59:59.999Z"),
    (DatetimeMS(253402300800000), "+010000-01-01T00:00:00.000Z"),
    (DatetimeMS(2**63 - 1), "+292278994-08-17T07:12:55.807Z"),
    (DatetimeMS(-(2**63)), "-292275055-05-16T16:47:04.192Z"),
    (Decimal128("1.00"), "1.00"),
    (Decimal128("1E+6000"), "1E+6000"),
    (Decimal128("NaN"), "NaN"),
    (Binary(UUID4, 4), "01234567-89ab-cdef-0123-456789abcdef"),
    (Binary(UUID4, 3), "ASNFZ4mrze8BI0VniavN7w=="),
    (Binary(UUID4 + b"x", 4), "ASNFZ4mrze8BI0VniavN73g="),
    (b"", ""),
    (Timestamp(5, 6), {"t": 5, "i": 6}),
    (Regex("a/b", "mi"), "/a/b/im"),
    (Code("f()"), "f()"),
    (Code('f("\n")'), 'f("\n")'),
    (Code("f()", {"o": OID}), {"code": "f()", "scope": {"o": str(OID)}}),
    (MinKey(), {"$minKey": 1}),
    (MaxKey(), {"$maxKey": 1}),
    (DBRef("c", OID, "d", x=Decimal128("1")), {"$ref": "c", "$id": str(OID), "$db": "d", "x": "1"}),
    ({"$oid": str(OID)}, {"$oid": str(OID)}),
    ({"$escaped": {"$date": "x"}}, {"$escaped": {"$date": "x"}}),
    ([OID, [OID], {"a": OID}], [str(OID), [str(OID)], {"a": str(OID)}]),
    (Int64(2**63 - 1), 2**63 - 1),
    (1e308, 1e308),
    (5e-324, 5e-324),
    ('{"$oid":"65a5f1c2e4b0a1b2c3d4e5f6"}', '{"$oid":"65a5f1c2e4b0a1b2c3d4e5f6"}'),
    (None, None),
    (True, True),
]


def natural(document: Any) -> bytes:
    change = Mapper().map(decode(Encoder().encode(event(document))[1]), None)
    assert change is not None
    assert change.document is not None
    return change.document


@pytest.mark.parametrize(("value", "expected"), NATURAL, ids=[repr(value)[:50] for value, _ in NATURAL])
def test_each_type_has_its_natural_form(value: Any, expected: Any) -> None:
    found = json.loads(natural({"value": value, "last": OID}))

    assert found == {"value": expected, "last": str(OID)}
    assert type(found["value"]) is type(expected)


@settings(deadline=None)
@given(DOCUMENTS)
def test_the_way_without_parsing_and_the_way_with_it_agree(document: dict[str, Any]) -> None:
    envelope = decode(Encoder().encode(event(document))[1])
    assert envelope.document is not None

    exact = Natural(Adjuster(refuse=False)).value(parse_document(envelope.document))

    assert json.loads(natural(document)) == exact


@given(st.text(st.sampled_from('{}"\\$:,[]oidate65a \t')))
def test_a_string_is_never_taken_for_a_wrapper(text: str) -> None:
    assert json.loads(natural({"a": text, text.replace("\0", ""): [text]})) == {"a": text, text: [text]}


@example("{", ":5}")
@example('{"a":1,', ":5}")
@given(st.text(st.sampled_from('{}"$:,[]'), max_size=6), st.text(st.sampled_from('{}"$:,[]5a'), max_size=6))
def test_broken_json_stays_broken(before: str, after: str) -> None:
    text = f'{before}{{"$oid":"65a5f1c2e4b0a1b2c3d4e5f6"}}{after}'
    if not is_json(text):
        assert not is_json(unwrap_simple(text.encode()).decode())


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@given(st.datetimes())
def test_dates_within_four_digits_are_written_as_python_writes_them(date: datetime) -> None:
    date = date.replace(microsecond=date.microsecond // 1000 * 1000)
    ms = (date - datetime(1970, 1, 1)) // timedelta(milliseconds=1)

    assert iso_date(DatetimeMS(ms)) == iso_date(date) == date.isoformat("T", "milliseconds") + "Z"


@given(st.integers(-(2**63), 2**63 - 1 - 400 * 365 * 86_400_000 - 97 * 86_400_000))
def test_the_calendar_repeats_after_400_years(ms: int) -> None:
    one, later = iso_date(DatetimeMS(ms)), iso_date(DatetimeMS(ms + 146_097 * 86_400_000))

    assert one[-20:] == later[-20:]
    assert int(later[: -len("-01-02T03:04:05.678Z")]) - int(one[: -len("-01-02T03:04:05.678Z")]) == 400
