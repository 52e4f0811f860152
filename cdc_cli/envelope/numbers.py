"""Numbers as identity: MongoDB compares the values of numbers, not their types, wherever they stand in an
`_id`.

Tried on MongoDB 6: 1, NumberLong(1), 1.0 and NumberDecimal("1.00") are one `_id`, so are 0 and -0.0, and NaN
of both types; double 0.1 and NumberDecimal("0.1") are two, as are 2**53 + 1 and double 2**53. So: exact
arithmetic.
"""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Final

import orjson
from bson import Decimal128

from cdc_cli.envelope.bson_values import SpecialDouble

# Compared, not `in range`: for a subclass of int, such as bson's Int64, a range counts through its members.
_MIN_INT64: Final = -(2**63)
_MAX_INT64: Final = 2**63 - 1


def canonical_number(value: int | float | Decimal128 | SpecialDouble) -> bytes:
    """JSON bytes that are equal exactly when the numbers are.

    An integer of 64 bits where the number is one, else a double where the number is one, else
    `{"$numberDecimal": ...}` without trailing zeros; `{"$numberDouble": ...}` for NaN and the infinities.
    """
    if isinstance(value, SpecialDouble):
        value = value.value
    if isinstance(value, Decimal128):
        return _canonical_decimal(value.to_decimal())
    if isinstance(value, float):
        return _canonical_double(value)
    return b"%d" % value if _fits(value) else _canonical_decimal(Decimal(value))


def _fits(value: int) -> bool:
    return _MIN_INT64 <= value <= _MAX_INT64


def _canonical_double(value: float) -> bytes:
    if not isfinite(value):
        return b'{"$numberDouble":"%b"}' % SpecialDouble(value).name.encode()
    if value.is_integer() and _fits(int(value)):
        return b"%d" % int(value)
    return orjson.dumps(value)


def _canonical_decimal(value: Decimal) -> bytes:
    if value.is_nan():
        return _canonical_double(float("nan"))
    if value.is_infinite():
        return _canonical_double(float(value))
    if value.adjusted() < 19 and value == value.to_integral_value() and _fits(int(value)):
        return b"%d" % int(value)
    nearest = float(value)
    if isfinite(nearest) and Decimal(nearest) == value:
        return _canonical_double(nearest)
    return b'{"$numberDecimal":"%b"}' % _stripped(value).encode()


def _stripped(value: Decimal) -> str:
    # Decimal.normalize() would round to the precision of the thread's decimal context.
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits))
    kept = text.rstrip("0")
    assert isinstance(exponent, int)
    return f"{'-' if sign else ''}{kept}E{exponent + len(text) - len(kept):+d}"
