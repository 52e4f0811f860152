"""New rows straight into their table: COPY without the staging table and the upsert, for a third less work.

Right without the upsert's guard, because there is nothing to be guarded against. A row that exists already, marked
as deleted or not, makes COPY fail as a whole by the unique key, which PostgreSQL is asked for in the same
transaction. A tombstone is looked for in that transaction too, after the fence: whoever writes the same documents
has ended by then or waits for us, as he does for the upsert (a replay holds the table alone, a partition has one
owner, a document one lane). Rows go in key order, the order in which everybody takes locks. When it does not work
out, the transaction is rolled back and the batch goes through the staging table as if nothing had been tried.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from operator import itemgetter

import psycopg2

from cdc_cli.apply import Change
from cdc_cli.apply.merge import Merged, TableChanges
from cdc_cli.apply.sqlstate import is_poison
from cdc_cli.apply.staging import escape, in_pieces
from cdc_cli.apply.statements import Target

_MOST_NEEDED = 1024
_PATIENCE = 8
"""So many batches of inserts beyond those needed, and half as many are needed from then on. With 8 it goes on trying
while up to one try in 30 fails, and hardly tries where one in 20 would: failures never cost what successes save.
"""
_STAGED_TAKES_IT = frozenset({"0A000", "42809"})
"""COPY is refused where INSERT is not: row-level security, and things that are no plain tables."""
_END_OF_TIME = 2**32 * 1000
"""In ms. Until here (the year 2106, where clusterTime ends) `to_timestamp` of a float is exact to the millisecond."""

_BY_ID, _BY_TYPE = itemgetter(1), itemgetter(2)


class Direct:
    """Decides by the batches before; shared by all writers, none of whom needs it exact.

    Batches of nothing but inserts are followed by more of them in initial loads and event logs. A try that fails costs
    as much as it might have saved and leaves dead rows, so each one doubles how many such batches in a row are needed.
    """

    def __init__(self) -> None:
        self._needed = 1
        self._streak = 0

    def may_try(self, merged: Merged, todo: Sequence[tuple[TableChanges, Target]], copy_threshold: int) -> bool:
        """Whether the batch shall go straight into its tables, with more than `copy_threshold` rows for each COPY.

        Never into partitions: COPY fills them one after the other, not in key order, so writers could deadlock.
        """
        return (
            self._streak >= self._needed
            and merged.upserts > copy_threshold * len(todo)
            and not any(table.deletes or target.partitioned for table, target in todo)
        )

    def learn(self, changes: int, inserted: int) -> None:
        """What a batch of so many changes turned out to be."""
        if inserted < changes:
            self._streak = 0
            return
        self._streak += 1
        if self._streak >= self._needed + _PATIENCE:
            self._streak = self._needed = max(1, self._needed // 2)

    def failed(self) -> None:
        """A try was in vain."""
        self._streak = 0
        self._needed = min(2 * self._needed, _MOST_NEEDED)


def declined(error: Exception) -> bool:
    """Whether the staged way may take what COPY into the table did not; it finds out what is to blame."""
    return is_poison(error) or (isinstance(error, psycopg2.Error) and error.pgcode in _STAGED_TAKES_IT)


def encode(tables: Sequence[TableChanges]) -> list[Iterator[bytes]] | None:
    """The upserts of each table as lines of COPY's text format, in key order; None when COPY might store a time
    otherwise than the staged way. Columns as in `statements.direct`; in pieces as in `staging.in_pieces`.
    """
    if not all(0 <= change.time_ms < _END_OF_TIME for table in tables for change in table.upserts):
        return None
    times = _Times()
    return [_in_pieces(table.upserts, times) for table in tables]


def _in_pieces(changes: Sequence[Change], times: _Times) -> Iterator[bytes]:
    # Twice by one field, which mostly is in order already, costs a quarter of once by two.
    ordered = sorted(sorted(changes, key=_BY_TYPE), key=_BY_ID)
    return in_pieces(ordered, lambda some: _lines(some, times))


def _lines(changes: Sequence[Change], times: _Times) -> bytes:
    return b"".join(
        [
            b"%b\t%b\t%b\t%b\t%b\n"
            % (escape(id_), id_type.encode(), position, times[time_ms], escape(document or b"null"))
            for _, id_, id_type, position, time_ms, document, _ in changes
        ]
    )


class _Times(dict[int, bytes]):
    """Milliseconds as `timestamptz` text that every DateStyle reads alike; neighbours in a batch share their times."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[int, bytes] = {}

    def __missing__(self, time_ms: int) -> bytes:
        second, millisecond = divmod(time_ms, 1000)
        head = self._seconds.get(second)
        if head is None:
            head = self._seconds[second] = b"%d-%02d-%02d %02d:%02d:%02d" % time.gmtime(second)[:6]
        text = self[time_ms] = b"%b.%03d+00" % (head, millisecond)
        return text
