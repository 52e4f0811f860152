"""What a bench makes and removes, in the same words for every place; and the commands that remove it by hand. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol

from cdc_cli.bench.names import DATABASE, Run
from cdc_cli.settings.models import Settings


class Kind(StrEnum):
    """What it is."""

    COLLECTION = "MongoDB collection"
    GROUP = "Kafka group"
    TOPIC = "Kafka topic"
    SCHEMA = "PostgreSQL schema"
    FOLDER = "folder"


class Thing(NamedTuple):
    """One thing of a run."""

    kind: Kind
    name: str
    run: Run


class Leftover(NamedTuple):
    """What could not be removed, why, and the command for it."""

    thing: Thing
    reason: str
    command: str


class Site(Protocol):
    """A place where things are made. Calls block for seconds at most; they raise CdcError."""

    kinds: tuple[Kind, ...]

    def find(self, run: Run | None) -> list[Thing]:
        """What there is of a run, or of all runs."""
        ...

    def remove(self, thing: Thing) -> None:
        """Harmless when it is gone already."""
        ...

    def close(self) -> None:
        """Never raises."""
        ...


def found(kind: Kind, names: Iterator[str] | list[str], run: Run | None) -> list[Thing]:
    """Those of the names that are ours, and of the run."""
    things = [Thing(kind, name, owner) for name in sorted(set(names)) if (owner := Run.of(name)) is not None]
    return [thing for thing in things if run is None or thing.run == run]


def expected(run: Run, folder: str) -> list[Thing]:
    """All that a run may have made: what is left when nobody can be asked any more."""
    collections = [Thing(Kind.COLLECTION, name, run) for name in (run.events, run.latency)]
    groups = [Thing(Kind.GROUP, name, run) for name in run.groups]
    topics = [Thing(Kind.TOPIC, name, run) for name in run.topics]
    return [*collections, *groups, *topics, Thing(Kind.SCHEMA, run, run), Thing(Kind.FOLDER, folder, run)]


def command(thing: Thing, settings: Settings) -> str:
    """What an administrator types; addresses of servers, but no user and no password."""
    brokers = f"--bootstrap-server {settings.kafka.bootstrap_servers[0]}"
    groups = ", ".join(f"'{group}'" for group in thing.run.groups)
    texts: dict[Kind, Callable[[], str]] = {
        Kind.COLLECTION: lambda: f'mongosh: db.getSiblingDB("{DATABASE}").getCollection("{thing.name}").drop()',
        Kind.GROUP: lambda: f"kafka-consumer-groups.sh {brokers} --delete --group {thing.name}",
        Kind.TOPIC: lambda: f"kafka-topics.sh {brokers} --delete --topic {thing.name}",
        Kind.SCHEMA: lambda: f'psql: DROP SCHEMA IF EXISTS "{thing.name}" CASCADE; '
        f"DELETE FROM cdc.tables WHERE schema_name = '{thing.name}'; "
        f"DELETE FROM cdc.offsets WHERE group_id IN ({groups});",
        Kind.FOLDER: lambda: f"rm -r {shlex.quote(thing.name)}",
    }
    return texts[thing.kind]()
