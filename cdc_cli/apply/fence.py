"""Who may write at the moment: the locks and the check at the head of every batch.

Live writers share the lock of each target, and the locks of their partitions, until they commit. A replay
holds its targets alone, so that an old insert of its own never runs beside a newer delete of somebody else; a
claim waits for the batches of the former owner. Advisory locks, because row locks on the ledger would write
to it per batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from cdc_cli.apply import Fenced
from cdc_cli.apply.claims import Claims
from cdc_cli.apply.names import LockClass, partition_lock
from cdc_cli.apply.session import Session
from cdc_cli.consume import Partition

_NAME = "cdc_fence"
# A statement of its own after the locks: its snapshot must be younger than the commit that a lock waited for.
_PREPARE = f"""\
PREPARE {_NAME}(text, text, text[], integer[]) AS
SELECT w.topic, w.number FROM unnest($3, $4) AS w(topic, number)
  LEFT JOIN cdc.offsets AS o ON o.group_id = $1 AND o.topic = w.topic AND o.partition = w.number
 WHERE o.owner IS DISTINCT FROM $2"""


class Fence:
    """Opens the transactions of one writer. `owner` is this process in the ledger of `group_id`, and `claims` what
    it has claimed there.
    """

    def __init__(self, group_id: str, owner: str, exclusive: bool, claims: Claims | None = None) -> None:
        self._claims = claims or Claims()
        self._group = group_id
        self._owner = owner
        self._exclusive = exclusive

    def begin(self, session: Session, targets: Iterable[int], partitions: Collection[Partition]) -> None:
        """BEGIN, lock and check in one round trip. Raises Fenced with the partitions lost, psycopg2.Error, and Rewound
        when the session is with another server than the one that the partitions were claimed on.
        """
        self._claims.check(session.server, partitions)
        sql = "BEGIN; " + lock_sql(LockClass.TARGET, targets, shared=not self._exclusive)
        if not partitions:
            session.query(sql)
            return
        session.prepare(_NAME, _PREPARE)
        keys = {partition_lock(self._group, *partition) for partition in partitions}
        sql += "; " + lock_sql(LockClass.PARTITION, keys, shared=True)
        args = (self._group, self._owner, *_columns(partitions))
        lost = session.query(f"{sql}; EXECUTE {_NAME}(%s, %s, %s, %s)", args)
        if lost:
            raise Fenced([Partition(topic, number) for topic, number in lost])


def lock_sql(kind: LockClass, keys: Iterable[int], shared: bool) -> str:
    """The statement that takes these locks until the transaction ends, in one order for everybody."""
    ordered = ",".join(str(key) for key in sorted(set(keys)))
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    return f"SELECT count({function}({kind:d}, k)) FROM unnest('{{{ordered}}}'::integer[]) AS k"


def _columns(partitions: Collection[Partition]) -> tuple[Any, Any]:
    return [partition.topic for partition in partitions], [partition.number for partition in partitions]
