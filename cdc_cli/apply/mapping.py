"""Envelope -> Change: the row's key, and the document as bytes that jsonb takes."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, Literal

import orjson

from cdc_cli.apply import Change
from cdc_cli.apply.ids import row_id
from cdc_cli.apply.natural import Natural, unwrap_simple
from cdc_cli.apply.text import Adjuster
from cdc_cli.envelope.decode import Envelope
from cdc_cli.envelope.parse import parse_document, parse_plain
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import Operation

_ESCAPED_UNHOLDABLE: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""May also be a backslash followed by the letters u0000, or a surrogate pair: parsing tells."""


# Bytes are searched as integers: a twentieth of the price of strings.
_BACKSLASH, _DOLLAR = b"\\$"


class Mapper:
    """Maps one envelope at a time; pure CPU, not thread-safe (it counts), make one per thread."""

    def __init__(
        self,
        jsonb_format: Literal["natural", "ejson"] = "natural",
        on_unsupported_value: Literal["adjust", "dead_letter"] = "adjust",
    ) -> None:
        self.is_natural = jsonb_format == "natural"
        self._adjuster = Adjuster(refuse=on_unsupported_value == "dead_letter")
        self._natural = Natural(self._adjuster)

    @property
    def adjusted(self) -> Counter[str]:
        """How many values were adjusted so far, by kind; the kinds are those of `Adjuster`."""
        return self._adjuster.counts

    def map(self, envelope: Envelope, source: object) -> Change | None:
        """The change to write, or None when there is nothing to write and the record is done.

        None for an update whose document was gone at look-up: its delete follows in the stream and removes
        the row at its own position.

        Raises PoisonEvent: `envelope.malformed`, `envelope.no_document`, `value.unsupported`,
        `value.too_deep`.
        """
        operation, namespace, position, time_ms, id_json, document, missing, _, _ = envelope
        if operation is Operation.DELETE:
            document = None
        elif document is not None:
            document = self._jsonb(document)
        elif missing:
            return None
        else:
            raise PoisonEvent(
                f"cannot write an {operation} without the document",
                hint="set mongodb.full_document to updateLookup, so that updates carry the whole document",
                code="envelope.no_document",
            )
        id_, id_type = row_id(id_json)
        return tuple.__new__(Change, (namespace, id_, id_type, position, time_ms, document, source))

    def simple(self, part: bytes) -> bytes | None:
        """A document, or what is left of one behind a field, as jsonb takes it; None = only parsing tells."""
        if _BACKSLASH in part and _ESCAPED_UNHOLDABLE.search(part):
            return None
        if _DOLLAR not in part or not self.is_natural:
            return part
        simple = unwrap_simple(part)
        return None if _DOLLAR in simple and b'{"$' in simple else simple

    def _jsonb(self, document: bytes) -> bytes:
        simple = self.simple(document)
        # Not from what is half done: inside `$escaped` it may have unwrapped what is no wrapper.
        return self._rebuilt(document) if simple is None else simple

    def _rebuilt(self, document: bytes) -> bytes:
        """The slow, exact way: parse, convert, print."""
        try:
            if self.is_natural:
                return _printed(self._natural.value(parse_document(document)))
            return _printed(self._adjuster.tree(parse_plain(document)))
        except RecursionError as exc:
            message = "cannot map a document: it is nested too deeply"
            raise PoisonEvent(message, code="value.too_deep") from exc


def _printed(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Deeper than orjson goes, or an integer of more than 64 bits.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
