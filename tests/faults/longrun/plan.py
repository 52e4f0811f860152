"""The schedule: which faults, when and how long, from a seed alone. Pure."""

from __future__ import annotations

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
)
"""Kind, what it hits, and how often it is in the deck; the network faults come on top, one per link and kind."""


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

    @property
    def name(self) -> str:
        """What recovery times are grouped by."""
        return name_of(self.kind, self.target)

    def __str__(self) -> str:
        details = f" {self.direction}" if self.direction else ""
        details += f" {self.amount}" if self.amount else ""
        return f"+{self.at:.2f}s {self.name}{details} for {self.seconds:.2f}s"


class Episode(NamedTuple):
    """Faults that overlap; then the pipeline has to recover."""

    number: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"episode {self.number}: " + "; ".join(map(str, self.faults))


def episodes(seed: int, only: Collection[str] = ()) -> Iterator[Episode]:
    """Endless; every kind comes once before the shuffled deck begins anew, so a long run meets them all.

    `only` are names of faults to choose from (`kill sync`, `kafka reset`): to look for the cause of a failure.
    """
    rng = random.Random(f"plan/{seed}")
    deck: list[tuple[str, str]] = []
    number = 0
    while True:
        number += 1
        chosen: list[tuple[str, str]] = []
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            if not deck:
                deck = _shuffled(rng, only)
            card = next((c for c in deck if not _clashes(c, chosen)), None)
            if card is not None:
                deck.remove(card)
                chosen.append(card)
        yield Episode(number, tuple(_fault(rng, *card) for card in chosen))


def _shuffled(rng: random.Random, only: Collection[str]) -> list[tuple[str, str]]:
    deck = [(kind, target) for kind, target, times in DECK for _ in range(times)]
    deck += [(kind, link) for kind in NETWORK for link in LINKS]
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
        "latency": (1.0, 5.0),
        "throttle": (1.0, 5.0),
        "slice": (1.0, 5.0),
    }.get(kind.split()[0], (0.0, 1.0))
    at = rng.uniform(0.0, 1.5)
    lasts = rng.uniform(*seconds)
    if kind not in NETWORK:
        return Fault(kind, target, at, lasts)
    direction = rng.choice(DIRECTIONS) if kind not in ("cut", "reset", "refuse") else ""
    amount = {
        "latency": rng.randint(20, 400),
        "throttle": rng.randint(20_000, 200_000),
        "slice": rng.randint(1, 40),
        "drop after": rng.randint(1, 20_000),
    }.get(kind, 0)
    return Fault(kind, target, at, lasts, "down" if kind == "drop after" and direction == "both" else direction, amount)
