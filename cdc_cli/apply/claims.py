"""What this process has claimed in the ledger, and on which server: a claim made elsewhere is worth nothing.

PostgreSQL can go back in time under a running process: a failover to a replica that lagged, a restored backup or
snapshot. Each of them ends the server that our connections are with, so every batch and every store of offsets has
to run on the very server (`Server`) that the claim was made on; on any other one the partitions are claimed again,
and read from the offsets that it has. That costs nothing while nothing changes, and a plain restart costs the
repetition of a second. What goes back below a running server (a dump loaded into the live tables) shows at the next
store: the ledger's file is another one, or the offset is lower than the one stored last.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import NamedTuple

from cdc_cli.apply import Rewound
from cdc_cli.consume import Partition

NOTHING = -1
"""The offset of a partition that has none stored."""


class Server(NamedTuple):
    """One PostgreSQL server from its start to its end, and the database in it: whatever is replaced, restored or
    promoted differs in one of the two. Both can be seen by every role.
    """

    started: str
    database: int


class Claim(NamedTuple):
    """Where a partition was claimed, in which file the ledger's table was, and the offset last seen or stored."""

    server: Server
    file: int
    offset: int


class Claims:
    """Shared by the threads of a process."""

    def __init__(self) -> None:
        self._made: dict[Partition, Claim] = {}
        self._lock = threading.Lock()
        self._is_void = False

    def made(self, claims: Mapping[Partition, Claim]) -> bool:
        """The database has agreed. Whether it may be another one than before: nothing known of it holds any more."""
        with self._lock:
            known = {(claim.server, claim.file) for claim in self._made.values()}
            is_new = not known >= {(claim.server, claim.file) for claim in claims.values()}
            is_void, self._is_void = self._is_void, False
            self._made.update(claims)
            return is_new or is_void

    def check(self, server: Server, partitions: Collection[Partition]) -> None:
        """Raise Rewound, with everything that was claimed elsewhere, unless these were claimed on this server.

        Those that were never claimed here are for the database to judge.
        """
        made = self._made
        for partition in partitions:
            claim = made.get(partition)
            if claim is not None and claim.server != server:
                with self._lock:
                    raise Rewound([p for p, claim in made.items() if claim.server != server])

    def of(self, partitions: Collection[Partition]) -> list[Claim | None]:
        """The claims of these, in order; None where there is none."""
        with self._lock:
            return [self._made.get(partition) for partition in partitions]

    def stored(self, offsets: Mapping[Partition, int]) -> None:
        """These are stored where the partitions were claimed."""
        with self._lock:
            for partition, offset in offsets.items():
                claim = self._made.get(partition)
                if claim is not None:
                    self._made[partition] = claim._replace(offset=offset)

    def void(self) -> Rewound:
        """The database has gone back: no claim holds any more. The error to raise."""
        with self._lock:
            self._is_void = True
            return Rewound(list(self._made))
