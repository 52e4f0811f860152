"""How BSON is decoded so that nothing changes silently on its way to JSON.

Three kinds of BSON values would be serialised wrongly without an error: orjson prints NaN and the infinities
as `null`, JSON readers differ about -0.0, and `Code` is a subclass of `str`. They arrive boxed; boxes exist
only between the driver and the encoder.
"""

from __future__ import annotations

from math import copysign, isfinite
from typing import Any

from bson import Code, decode
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.errors import InvalidBSON

from cdc_cli.errors import PoisonEvent


class SpecialDouble:
    """A double that JSON numbers cannot say, or not portably: NaN, an infinity or -0.0."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    @property
    def name(self) -> str:
        """As Extended JSON writes it: `NaN`, `Infinity`, `-Infinity`, `-0.0`."""
        if isfinite(self.value):
            return "-0.0"
        if self.value != self.value:
            return "NaN"
        return "Infinity" if self.value > 0 else "-Infinity"


class BoxedCode:
    """JavaScript code that no longer passes for a string."""

    __slots__ = ("code",)

    def __init__(self, code: Code) -> None:
        self.code = code


def box_double(value: Any) -> Any:
    """The double itself, or a box where plain JSON would not do."""
    if value and isfinite(value):
        return value
    if value == 0.0 and copysign(1.0, value) > 0:
        return value
    return SpecialDouble(value)


def _box_code(value: Any) -> Any:
    return BoxedCode(value)


class _DoubleDecoder(TypeDecoder):
    # A plain function costs less per value than a bound method, and this runs for every double.
    bson_type = float
    transform_bson = staticmethod(box_double)


class _CodeDecoder(TypeDecoder):
    bson_type = Code
    transform_bson = staticmethod(_box_code)


def codec_options() -> CodecOptions[dict[str, Any]]:
    """The options that every reader of MongoDB documents must use before it hands them to `Encoder`.

    Dates are naive UTC `datetime` (half the price of aware ones), `DatetimeMS` outside the years 1-9999.
    UUIDs stay `Binary`, because orjson would print a `uuid.UUID` as a plain string. Text must be valid UTF-8:
    `decode_document` is the ladder for the rest.
    """
    return CodecOptions(
        document_class=dict,
        tz_aware=False,
        uuid_representation=UuidRepresentation.UNSPECIFIED,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        type_registry=TypeRegistry([_DoubleDecoder(), _CodeDecoder()]),
    )


def decode_document(raw: bytes) -> dict[str, Any]:
    """Decode one BSON document, keeping text that is not UTF-8; about as fast as the driver when it is.

    Bytes that are no UTF-8 (MongoDB stores them unchecked) become lone surrogates U+DC80-U+DCFF, one per
    byte, which travel as `\\udcXX` escapes and can be turned back. Raises PoisonEvent for anything else
    undecodable.
    """
    options = codec_options()
    try:
        return decode(raw, options)
    except InvalidBSON:
        pass
    try:
        return decode(raw, options.with_options(unicode_decode_error_handler="surrogateescape"))
    except (InvalidBSON, ValueError, RecursionError) as exc:
        raise PoisonEvent(
            f"cannot decode a BSON document of {len(raw)} bytes: {exc}", code="bson.undecodable"
        ) from exc
