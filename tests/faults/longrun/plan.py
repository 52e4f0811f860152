"""The schedule: the client, the token store, which faults, when, how long and at whom, from a seed alone. Pure."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator
from typing import NamedTuple

DIRECTIONS = ("up", "down", "both")
LINKS = ("mongodb", "kafka", "postgres", "redis")
NETWORK = ("cut", "reset", "refuse", "blackhole", "latency", "throttle", "slice", "drop after")

DECK: tuple[tuple[str, str, int], ...] = (
    ("kill watch", "watch", 6),
    ("kill sync", "sync", 6),
    ("kill both syncs", "sync", 2),
    ("kill everything", "all", 1),
    ("stop watch", "watch", 2),
    ("stop sync", "sync", 2),
    ("term watch", "watch", 2),
    ("term sync", "sync", 2),
    ("step down", "mongodb", 2),
    ("kill mongod", "mongodb", 2),
    ("kill broker", "kafka", 2),
    ("stop postgres", "postgres", 2),
    ("kill postgres", "postgres", 1),
    ("terminate backends", "postgres", 1),
    ("lock table", "postgres", 1),
    ("read only", "postgres", 1),
    ("kill redis", "redis", 1),
    ("pause redis", "redis", 1),
    ("fill redis", "redis", 1),
    ("rebalance storm", "sync", 2),
    ("churn", "sync", 2),
    ("add partitions", "kafka", 2),
    ("lose token", "all", 2),
)
"""Kind, what it hits, and how often it is in the deck; the network faults come on top, one per link and kind."""
_VARIANTS = {
    "kill sync": ("sync 1", "sync 2"),
    "stop sync": ("sync 1", "sync 2"),
    "term sync": ("sync 1", "sync 2"),
    "churn": ("terminate", "kill"),
    "lose token": ("the token", "the token", "the token", "all that the store keeps"),
}
"""Whom or how, where there is a choice."""
_CLIENTS = ("kafka-python", "confluent")
_STORES = ("redis", "redis", "file")
_QUIET_AFTER = (18, 26)
"""Episodes until everything is compared: about two minutes."""


class Setting(NamedTuple):
    """What the pipeline runs with for the whole of a run."""

    client: str
    store: str

    def __str__(self) -> str:
        return f"Kafka client {self.client}, token store {self.store}"


def setting(seed: int, client: str = "", store: str = "") -> Setting:
    """Chosen by the seed where nothing is given."""
    rng = random.Random(f"run/{seed}")
    chosen = Setting(rng.choice(_CLIENTS), rng.choice(_STORES))
    return Setting(client or chosen.client, store or chosen.store)


def name_of(kind: str, target: str) -> str:
    """What a fault is called: that of a link has its name in front."""
    return f"{target} {kind}" if kind in NETWORK else kind


class Fault(NamedTuple):
    """One fault: begins `at` seconds into its episode and lasts `seconds`."""

    kind: str
    target: str
    at: float
    seconds: float
    direction: str = ""
    amount: int = 0
    variant: str = ""
    """Whom it hits or how, where there is a choice."""

    @property
    def name(self) -> str:
        """What recovery times are grouped by."""
        return name_of(self.kind, self.target)

    def __str__(self) -> str:
        details = f" {self.direction}" if self.direction else ""
        details += f" {self.amount}" if self.amount else ""
        details += f" ({self.variant})" if self.variant else ""
        return f"+{self.at:.2f}s {self.name}{details} for {self.seconds:.2f}s"


class Episode(NamedTuple):
    """Faults that overlap; then the pipeline has to recover. After a `quiet` one everything is compared."""

    number: int
    faults: tuple[Fault, ...]
    quiet: bool = False

    def __str__(self) -> str:
        end = "; then everything is compared" if self.quiet else ""
        return f"episode {self.number}: {'; '.join(map(str, self.faults))}{end}"


def expanded(seed: int, count: int, client: str = "", store: str = "", only: Collection[str] = ()) -> list[str]:
    """The plan in words, up to that episode."""
    chosen = setting(seed, client, store)
    found = itertools.islice(episodes(seed, only, chosen.store), count)
    return [f"seed {seed}: {chosen}", *map(str, found)]


def episodes(seed: int, only: Collection[str] = (), store: str = "redis") -> Iterator[Episode]:
    """Endless; every kind comes once before the shuffled deck begins anew, so a long run meets them all.

    `only` are names of faults to choose from (`kill sync`, `kafka reset`): to look for the cause of a failure.
    With the token in a file there are no faults of Redis.
    """
    rng = random.Random(f"plan/{seed}")
    deck: list[tuple[str, str]] = []
    number, quiet_at = 0, rng.randint(*_QUIET_AFTER)
    while True:
        number += 1
        chosen: list[tuple[str, str]] = []
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            if not deck:
                deck = _shuffled(rng, only, store)
            card = next((c for c in deck if not _clashes(c, chosen)), None)
            if card is not None:
                deck.remove(card)
                chosen.append(card)
        yield Episode(number, tuple(_fault(rng, *card) for card in chosen), quiet=number == quiet_at)
        if number == quiet_at:
            quiet_at += rng.randint(*_QUIET_AFTER)


def _shuffled(rng: random.Random, only: Collection[str], store: str) -> list[tuple[str, str]]:
    deck = [(kind, target) for kind, target, times in DECK for _ in range(times)]
    deck += [(kind, link) for kind in NETWORK for link in LINKS]
    deck = [card for card in deck if store == "redis" or card[1] != "redis"]
    if only:
        deck = [card for card in deck if name_of(*card) in only]
        if not deck:
            raise ValueError(f"no fault has one of the names {sorted(only)}")
    rng.shuffle(deck)
    return deck


def _clashes(card: tuple[str, str], chosen: list[tuple[str, str]]) -> bool:
    """One fault per target and episode; with everything killed there is nothing left to hit."""
    targets = {target for _, target in chosen}
    return card[1] in targets or (bool(targets) and "all" in {card[1], *targets})


def _fault(rng: random.Random, kind: str, target: str) -> Fault:
    seconds = {
        "kill": (0.0, 2.0),
        "stop": (0.5, 9.0),
        "refuse": (0.5, 6.0),
        "blackhole": (1.0, 9.0),
        "lock": (1.0, 8.0),
        "read": (1.0, 4.0),
        "pause": (1.0, 6.0),
        "fill": (1.0, 4.0),
        "rebalance": (4.0, 8.0),
        "churn": (3.0, 8.0),
        "latency": (1.0, 5.0),
        "throttle": (1.0, 5.0),
        "slice": (1.0, 5.0),
    }.get(kind.split()[0], (0.0, 1.0))
    at = rng.uniform(0.0, 1.5)
    lasts = rng.uniform(*seconds)
    if kind not in NETWORK:
        variant = rng.choice(_VARIANTS[kind]) if kind in _VARIANTS else ""
        # the number chooses a topic, or is the seed of a storm
        amount = rng.randrange(1, 1000) if kind in ("add partitions", "rebalance storm") else 0
        return Fault(kind, target, at, lasts, amount=amount, variant=variant)
    direction = rng.choice(DIRECTIONS) if kind not in ("cut", "reset", "refuse") else ""
    amount = {
        "latency": rng.randint(20, 400),
        "throttle": rng.randint(20_000, 200_000),
        "slice": rng.randint(1, 40),
        "drop after": rng.randint(1, 20_000),
    }.get(kind, 0)
    return Fault(kind, target, at, lasts, "down" if kind == "drop after" and direction == "both" else direction, amount)
