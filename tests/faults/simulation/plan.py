"""What a seed stands for: the size of everything, and which faults may happen how often."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass

FAULTS: Mapping[str, str] = {
    "source.fails": "reading or opening the change stream fails with a network error",
    "source.cursor_killed": "the server forgets or kills the cursor",
    "source.token_unusable": "the token's event is filtered away now (280), the stream goes back to its time",
    "source.ended": "the server ends the stream without an error (invalidate)",
    "source.slow": "answers take long",
    "kafka.slow": "acknowledgements take long",
    "kafka.fails": "a batch fails; whether it was kept is open, and nothing behind it is",
    "kafka.silent": "the producer never hears of its records again; some were kept",
    "kafka.refuses_send": "the producer refuses to take a record for lack of metadata",
    "kafka.down": "no broker for some time",
    "token.fails": "a save fails, or its outcome is unknown",
    "token.slow": "a save takes long",
    "token.gone": "the token vanishes while the watcher is down; an operator restores the last one of the history",
    "token.rewound": "the store comes back with an older token",
    "token.lease_lost": "another watcher takes the right to write",
    "group.rebalances": "partitions change hands for no reason of ours",
    "group.commit_fails": "Kafka refuses an offset commit, or its outcome is unknown",
    "group.fails": "polling or asking for offsets fails",
    "group.evicted": "a member is thrown out without being told",
    "postgres.fails": "a transaction fails and nothing of it is kept",
    "postgres.unknown": "the connection is lost at COMMIT, which happened",
    "postgres.slow": "statements wait for locks",
    "postgres.rewound": "the database is restored from an older dump while the syncers are down",
    "postgres.failover": "a replica that lags becomes the server while the syncers run",
    "watch.killed": "SIGKILL of the watcher, also in the middle of a durable step",
    "watch.stalled": "SIGSTOP of the watcher for longer than any time-out",
    "watch.stopped": "SIGTERM of the watcher",
    "sync.killed": "SIGKILL of a syncer, also in the middle of a durable step",
    "sync.stalled": "SIGSTOP of a syncer for longer than the group waits",
    "sync.stopped": "SIGTERM of a syncer",
    "planted.undecodable": "documents that the driver cannot decode",
    "planted.too_large": "events over 16 MB",
    "planted.refused": "records that the broker refuses for good",
    "planted.unwritable": "documents that PostgreSQL refuses",
    "planted.junk": "records of somebody else in our topics",
}
"""Kind -> meaning. A schedule has some of them: many at once hide each other (swarm testing)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a schedule is made from; the rest is drawn, in order, from sources seeded with `seed`."""

    seed: int
    changes: int
    documents: int
    partitions: int
    syncers: int
    lanes: int
    batch_rows: int
    in_flight: int
    buffered: int
    attempts: int
    start_from: str
    faults: Mapping[str, float]

    def expanded(self) -> list[str]:
        """Line by line, for people."""
        sizes = {name: value for name, value in asdict(self).items() if name != "faults"}
        lines = [", ".join(f"{name} {value}" for name, value in sizes.items())]
        return lines + [f"{rate:4.2f}  {kind}: {FAULTS[kind]}" for kind, rate in self.faults.items()]


def make_plan(seed: int, without: frozenset[str] = frozenset()) -> Plan:
    """The plan of a seed. `without` leaves out kinds of faults and changes nothing else of the plan."""
    draw = random.Random(f"{seed} plan")
    share = draw.choice((0.1, 0.25, 0.5))
    chosen = {kind: round(draw.choice((0.3, 1.0, 2.0)), 2) for kind in FAULTS if draw.random() < share}
    return Plan(
        seed=seed,
        changes=draw.randint(8, 45),
        documents=draw.randint(1, 8),
        partitions=draw.randint(1, 3),
        syncers=draw.choice((1, 1, 2, 3)),
        lanes=draw.randint(1, 3),
        batch_rows=draw.choice((2, 5, 20)),
        in_flight=draw.choice((2, 5, 20, 500)),
        buffered=draw.choice((3, 10, 500)),
        attempts=draw.choice((4, 1000, 1000)),
        start_from=draw.choice(("now", "oldest")),
        faults={kind: rate for kind, rate in chosen.items() if kind not in without},
    )
