"""The names of everything that a run of `cdc bench` makes. Pure; the rest of the program keeps away from them.

A name that is not exactly one of ours is never touched, however it begins.
"""

from __future__ import annotations

import datetime
import re
from typing import Self

PREFIX = "cdc_bench_"
DATABASE = "cdc_bench"
"""One database in MongoDB for all runs, so that a role can be granted on it; the collections are the run's own."""

_NAME = re.compile(r"(cdc_bench_(\d{8}t\d{6})[0-9a-f]{6})(?:_(?:events|latency|dlq|replay|[a-z0-9_]{8}))?")


class Run(str):
    """`cdc_bench_20261123t143924a1b2c3`: the time it began (UTC), and what tells it from others of that second."""

    __slots__ = ()

    @classmethod
    def new(cls, now: float, random: bytes) -> Self:
        """`now` in seconds since the epoch; three bytes of `random` are used."""
        began = datetime.datetime.fromtimestamp(now, datetime.UTC)
        return cls(f"{PREFIX}{began:%Y%m%dt%H%M%S}{random[:3].hex()}")

    @classmethod
    def of(cls, name: str) -> Self | None:
        """The run that a collection, topic, group, schema or folder of this name belongs to; None = not ours."""
        match = _NAME.fullmatch(name)
        return cls(match[1]) if match else None

    @property
    def began(self) -> str:
        """When, for people."""
        moment = datetime.datetime.strptime(self.removeprefix(PREFIX)[:15], "%Y%m%dt%H%M%S")
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def events(self) -> str:
        """The collection that is drained; its topic and its table have the same name."""
        return f"{self}_events"

    @property
    def latency(self) -> str:
        """The collection of the latency part, and the consumer group that reads it."""
        return f"{self}_latency"

    @property
    def dead_letters(self) -> str:
        return f"{self}_dlq"

    @property
    def replay(self) -> str:
        """The group that reads everything once more."""
        return f"{self}_replay"

    @property
    def topics(self) -> tuple[str, ...]:
        return self.events, self.latency, self.dead_letters

    @property
    def groups(self) -> tuple[str, ...]:
        return str(self), self.replay, self.latency


def is_ours(name: str) -> bool:
    """Whether the name is one that a bench makes: other pipelines leave such things alone."""
    return Run.of(name) is not None
