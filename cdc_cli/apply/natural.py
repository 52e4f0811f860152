"""Documents in natural form: the plain JSON that a person would query in PostgreSQL.

ObjectId -> hex string, date -> ISO 8601 string, UUID -> its text, other binary -> base64 string,
NumberDecimal -> its exact text (a jsonb number could hold neither NaN nor tell 1.0 from 1.00, and 1E+6000
would be 6,001 digits), Timestamp -> {"t", "i"}, regex -> "/pattern/options", code -> string (with scope:
{"code", "scope"}), min and max key and DBRef stay objects, `$escaped` is taken off. Integers and doubles are
numbers.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

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

from cdc_cli.apply.dates import iso_date
from cdc_cli.apply.text import Adjuster
from cdc_cli.envelope.wrappers import regex_options

_SPLIT_AT_WRAPPERS: Final = re.compile(
    rb'\{"\$(?:oid":(?="[0-9a-f]{24}")'
    rb'|date":(?="[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")'
    rb'|numberDecimal":(?="[-+.0-9EInfityNa]+")'
    rb'|code":)("[^"\\\x00-\x1f]*")\}(?=[\]},])'
).split
_BINARY: Final = re.compile(
    rb'\{"\$binary":\{"base64":"([A-Za-z0-9+/]*={0,2})","subType":"([0-9a-f]{2})"\}\}(?=[\]},])'
)
_DOLLAR: Final = ord("$")
_UUID_CHARACTERS: Final = 24
"""The length of 16 bytes in base64; 17 and 18 bytes have it too, but then it ends in fewer than two `=`."""


def unwrap_simple(document: bytes) -> bytes:
    """Replace `{"$oid":"..."}`, `{"$date":"..."}`, `{"$numberDecimal":"..."}` and plain `$code` by the
    string inside.

    Also binary, with its rule for UUIDs. Works on the bytes, without parsing. That is right because `{"$`
    cannot occur inside a JSON string (the quote would be escaped) nor span the end of one (no `$` follows a
    closing quote), so a match starts at a real object; what follows the first key is matched to the closing
    brace. The look-ahead keeps broken JSON broken: a string may stand wherever such an object may, except as
    a key.
    """
    document = b"".join(_SPLIT_AT_WRAPPERS(document))
    # Bytes are searched as integers: a twentieth of the price of strings.
    return _BINARY.sub(_binary_text, document) if _DOLLAR in document else document


def _binary_text(match: re.Match[bytes]) -> bytes:
    data, subtype = match.groups()
    if subtype == b"04" and len(data) == _UUID_CHARACTERS and data.endswith(b"=="):
        return b'"%b"' % uuid_text(a2b_base64(data)).encode()
    return b'"%b"' % data


class Natural:
    """The same for every type, from decoded values; `adjust` cleans and counts what jsonb cannot hold."""

    def __init__(self, adjust: Adjuster) -> None:
        self._adjust = adjust
        self._forms: Mapping[type, Callable[[Any], Any]] = {
            str: adjust.text,
            float: adjust.double,
            dict: self._document,
            list: lambda value: [self.value(item) for item in value],
            ObjectId: str,
            datetime: iso_date,
            DatetimeMS: iso_date,
            Decimal128: str,
            bytes: _binary,
            Binary: _binary,
            Timestamp: lambda value: {"t": value.time, "i": value.inc},
            Regex: self._regex,
            Code: self._code,
            MinKey: lambda value: {"$minKey": 1},
            MaxKey: lambda value: {"$maxKey": 1},
            DBRef: lambda value: self._document(value.as_doc()),
            Int64: int,
        }

    def value(self, value: Any) -> Any:
        """Plain JSON of a decoded BSON value; raises what `adjust` raises, RecursionError when too deep."""
        form = self._forms.get(type(value))
        return value if form is None else form(value)

    def _document(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return self._adjust.names((name, self.value(item)) for name, item in value.items())

    def _regex(self, value: Regex[str]) -> str:
        return f"/{self._adjust.text(value.pattern)}/{regex_options(value.flags)}"

    def _code(self, value: Code) -> Any:
        text = self._adjust.text(str(value))
        return text if value.scope is None else {"code": text, "scope": self._document(value.scope)}


def _binary(value: bytes) -> str:
    if isinstance(value, Binary) and value.subtype == 4 and len(value) == 16:
        return uuid_text(value)
    return b64encode(value).decode("ascii")


def uuid_text(data: bytes) -> str:
    """16 bytes as a UUID is written; half the price of `uuid.UUID`."""
    digits = data.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
