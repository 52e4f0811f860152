"""A record's bytes as a change for the writer: decode the envelope, map it to the row.

What most records look like is read in one step: the beginning of the last record is compared as a whole (operation
and collection rarely change from one record to the next), one regular expression takes the rest of the head, and the
document's own `_id` with it. Everything else goes through `decode` and the mapper, with the same result.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from cdc_cli.apply import Change, Version
from cdc_cli.apply.ids import USUAL
from cdc_cli.apply.mapping import Mapper
from cdc_cli.envelope.decode import BALANCED, POSITION_AND_TIME, decode
from cdc_cli.envelope.encode import record_head
from cdc_cli.events import Operation

_REST: Final = POSITION_AND_TIME + rb'(?:%b)(?:,"update":%b)?+,"doc":(?=\{)' % (USUAL, BALANCED)
_AND_OBJECT_ID: Final = rb'(?:\{"_id":\{"\$oid":("[0-9a-f]{24}")\}(?=[,}]))?+'
_NO_OBJECT_ID: Final = rb"()"
_NOTHING: Final = b"\0"


class EnvelopeMapper:
    """One lane's mapper; not thread-safe, as it counts."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper
        self._rest = re.compile(_REST + (_AND_OBJECT_ID if mapper.is_natural else _NO_OBJECT_ID)).match
        self._head = _NOTHING
        self._namespace = ""

    @property
    def adjusted(self) -> Counter[str]:
        return self._mapper.adjusted

    def map(self, value: bytes | None, source: object) -> Change | None:
        """See Mapper.map; raises PoisonEvent for what is no envelope of ours."""
        if value is not None and value.startswith(self._head) and value.endswith(b"}}"):
            match = self._rest(value, len(self._head))
            if match is not None:
                position, time_ms, oid, text, number, own_id = match.groups()
                document = self._document(value, match.end(), own_id)
                if document is not None:
                    kind = "objectId" if oid is not None else "string" if text is not None else "number"
                    id_ = oid or text or number or b""
                    change = (self._namespace, id_, kind, position, int(time_ms), document, source)
                    return tuple.__new__(Change, change)
        return self._exactly(value, source)

    def version(self, value: bytes | None) -> Version | None:
        """Where a change stands, without a look at its document; None = only `map` tells."""
        if value is None or not value.startswith(self._head) or not value.endswith(b"}}"):
            return None
        match = self._rest(value, len(self._head))
        if match is None:
            return None
        position, _, oid, text, number, _ = match.groups()
        kind = "objectId" if oid is not None else "string" if text is not None else "number"
        return tuple.__new__(Version, (self._namespace, oid or text or number or b"", kind, position))

    def _document(self, value: bytes, start: int, own_id: bytes | None) -> bytes | None:
        """The document from `start` on, behind its `_id` when that is taken already; None = not so simple."""
        simple = self._mapper.simple(value[start:-1])
        return b'{"_id":%b%b' % (own_id, simple) if own_id and simple is not None else simple

    def _exactly(self, value: bytes | None, source: object) -> Change | None:
        envelope = decode(value)
        change = self._mapper.map(envelope, source)
        if value is not None and envelope.operation is not Operation.DELETE:
            head = record_head(envelope.operation, envelope.namespace)
            if value.startswith(head):
                self._head, self._namespace = head, envelope.namespace
        return change
