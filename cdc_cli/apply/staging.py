"""Rows on their way through COPY: one temporary table per session, shared by all targets.

One table, because the server empties every temporary table that has ON COMMIT DELETE ROWS at each commit that
used any of them. It is made once: creating one per batch would bloat the catalog. `document` is jsonb already
here, so that a document which PostgreSQL cannot read fails in COPY, where the error names its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from cdc_cli.apply import Change

TABLE = "pg_temp.cdc_staging"

CREATE = """\
CREATE TEMPORARY TABLE IF NOT EXISTS cdc_staging (
  piece integer NOT NULL,
  _id text COLLATE "C" NOT NULL,
  _id_type text COLLATE "C" NOT NULL,
  position text COLLATE "C" NOT NULL,
  time_ms bigint NOT NULL,
  document jsonb NOT NULL
) ON COMMIT DELETE ROWS"""

COPY = f"COPY {TABLE} (piece, _id, _id_type, position, time_ms, document) FROM STDIN"

_LARGE, _PIECE = 1 << 20, 1 << 17
_BACKSLASH, _LINE_FEED, _RETURN, _TAB = b"\\\n\r\t"
_LINE = re.compile(r"cdc_staging\D+(\d+)")


def encode(piece: int, changes: Iterable[Change]) -> bytes:
    """The upserts as lines of COPY's text format. `piece` tells the statements which rows are theirs.

    `bytes.replace` is what keeps this fast: with `str.translate` the whole writer was twice as slow.
    """
    head = b"%d\t" % piece
    return b"".join(
        [
            b"%b%b\t%b\t%b\t%d\t%b\n"
            % (head, escape(id_), id_type.encode(), position, time_ms, escape(document or b"null"))
            for _, id_, id_type, position, time_ms, document, _ in changes
        ]
    )


def in_pieces(changes: Sequence[Change], encode: Callable[[Sequence[Change]], bytes]) -> Iterator[bytes]:
    """What `encode` makes of them: at once, or of large documents piece by piece while COPY takes it, so that no more
    than a piece of the copies that this needs is in memory.
    """
    if document_bytes(changes) < _LARGE:
        return iter([encode(changes)])
    return (encode(some) for some in _sliced(changes))


def document_bytes(changes: Iterable[Change]) -> int:
    """How much their documents are together."""
    return sum([len(document) for _, _, _, _, _, document, _ in changes if document is not None])


def _sliced(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    begin = size = 0
    for end, change in enumerate(changes, 1):
        size += len(change.document or b"")
        if size >= _PIECE or end == len(changes):
            yield changes[begin:end]
            begin, size = end, 0


def bad_line(context: str | None) -> int | None:
    """Which line COPY could not take, counted from 1, out of the context of its error (in any language)."""
    found = _LINE.search(context or "")
    return int(found[1]) if found else None


def escape(value: bytes) -> bytes:
    """A value as COPY's text format wants it."""
    # Bytes are searched as integers, at a fraction of the price of a replacement that finds nothing.
    if _BACKSLASH in value:
        value = value.replace(b"\\", b"\\\\")
    if _LINE_FEED in value or _TAB in value or _RETURN in value:
        value = value.replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")
    return value
