"""What `cdc replay` was asked for: the options checked, and turned into a request to Kafka.

Everything wrong with an option is a `typer.BadParameter` (exit code 2), most of it before anything is connected.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import typer

from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import Wanted
from cdc_cli.consume.ranges import Request
from cdc_cli.consume.selection import Selection, ids_of
from cdc_cli.consume.topics import select_topics
from cdc_cli.publish.topics import names_collection, pattern_of, topic_of
from cdc_cli.settings.models import Settings
from cdc_cli.settings.units import parse_duration
from cdc_cli.workers.replay import Handling

_OFFSETS = re.compile(r"(?P<topic>[A-Za-z0-9._-]+):(?P<number>\d{1,9}):(?P<first>\d{1,18})-(?P<end>\d{1,18})?")


class Asked(NamedTuple):
    """The options as they were given."""

    since: str | None = None
    start: str | None = None
    until: str | None = None
    everything: bool = False
    dead_letters: bool = False
    offsets: Sequence[str] = ()
    collections: Sequence[str] = ()
    keys: Sequence[str] = ()
    codes: Sequence[str] = ()
    failed_within: str | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether only some of the records are meant."""
        return bool(self.collections or self.keys or self.codes or self.failed_within is not None)

    def check(self) -> None:
        """Refuse what contradicts itself, and a replay of nothing in particular."""
        scopes = {
            "--since": self.since is not None,
            "--from": self.start is not None,
            "--all": self.everything,
            "--topic-partition": bool(self.offsets),
            "--dead-letters": self.dead_letters,
        }
        given = [name for name, is_given in scopes.items() if is_given]
        if not given:
            raise typer.BadParameter(f"say what to replay: {', '.join(scopes)}")
        if len(given) > 1:
            raise typer.BadParameter(f"{' and '.join(given)} exclude each other")
        if self.until is not None and (self.offsets or self.dead_letters):
            raise typer.BadParameter("--until goes with --since, --from or --all")
        self.parsed_offsets()
        self.ids()
        self.wanted(math.inf)
        # Only to see whether it can be read: what the time is, matters when the plan is made.
        self.request(0.0 if self.since is not None else math.inf)

    def request(self, now: float) -> Request:
        """`now` is epoch seconds."""
        if self.offsets:
            return Request(offsets=self.parsed_offsets())
        if self.dead_letters:
            return Request(backlog=True)
        since = None if self.start is None else _moment(self.start, "--from")
        if self.since is not None:
            since = now - _duration(self.since)
        until = None if self.until is None else _moment(self.until, "--until")
        if since is not None and since > now:
            raise typer.BadParameter(f"{self.start} lies in the future", param_hint="--from")
        if since is not None and until is not None and until <= since:
            raise typer.BadParameter("it is not after the beginning", param_hint="--until")
        return Request(_ms(since), _ms(until))

    def wanted(self, now: float) -> Wanted:
        """Which dead letters; `now` is epoch seconds."""
        since = None if self.failed_within is None else now - _duration(self.failed_within)
        return Wanted(frozenset(self.codes) or None, since)

    def parsed_offsets(self) -> dict[Partition, tuple[int, int | None]]:
        """`T:P:A-B` of each partition."""
        found: dict[Partition, tuple[int, int | None]] = {}
        for text in self.offsets:
            match = _OFFSETS.fullmatch(text)
            if match is None:
                raise _bad_offsets(f"{text!r} is not TOPIC:PARTITION:FIRST-END, such as cdc.game.players:0:120-400")
            partition = Partition(match["topic"], int(match["number"]))
            first, end = int(match["first"]), None if match["end"] is None else int(match["end"])
            if end is not None and end <= first:
                raise _bad_offsets(f"{text!r} is empty: the end is the first offset that is left out")
            if partition in found:
                raise _bad_offsets(f"partition {partition.number} of {partition.topic} is given twice")
            found[partition] = (first, end)
        return found

    def check_partitions(self, existing: Collection[Partition]) -> None:
        """Refuse partitions that the topics do not have."""
        for partition in sorted(self.parsed_offsets().keys() - set(existing)):
            raise _bad_offsets(f"the topic {partition.topic} has no partition {partition.number}")

    def ids(self) -> frozenset[bytes] | None:
        """The `_id`s as they stand in record keys; None = all."""
        try:
            return frozenset().union(*map(ids_of, self.keys)) if self.keys else None
        except ValueError as exc:
            raise typer.BadParameter(str(exc), param_hint="--key") from exc


def topics_of(asked: Asked, settings: Settings, existing: Collection[str]) -> list[str]:
    """The topics to read. Raises BadParameter for one that is not there, or not of this pipeline."""
    if asked.dead_letters:
        return sorted({settings.dead_letter_topic} & set(existing))
    if asked.offsets:
        topics = {partition.topic for partition in asked.parsed_offsets()}
        for topic in sorted(topics):
            _check_topic(topic, settings, existing)
        return sorted(topics)
    ours = select_topics(settings, existing)
    if not asked.collections or not names_collection(settings.kafka.topic, settings.mongodb.database):
        return sorted(ours)
    found = set()
    for collection in asked.collections:
        database, name = _namespace(collection, settings)
        topic = topic_of(settings.kafka.topic, settings.name, database, name)
        if topic not in existing:
            raise typer.BadParameter(
                f"there is no topic {topic} in Kafka for the collection {collection}", param_hint="--collection"
            )
        found.add(topic)
    return sorted(found)


def selection_of(asked: Asked, settings: Settings) -> Selection:
    """The filter: a collection is known by its topic, or in topics that several share by the record's key."""
    if not asked.collections:
        return Selection(None, None, asked.ids())
    names = [_namespace(collection, settings) for collection in asked.collections]
    if names_collection(settings.kafka.topic, settings.mongodb.database):
        topics = [topic_of(settings.kafka.topic, settings.name, *name) for name in names]
        # A change that never reached Kafka has no topic: its dead letter comes from a namespace.
        never_sent = [".".join(name) for name in names] if _are_letters(asked, settings) else []
        return Selection([*topics, *never_sent], None, asked.ids())
    return Selection(None, [".".join(name) for name in names], asked.ids())


def handling_of(asked: Asked, settings: Settings, now: float) -> Handling:
    """Dead letters taken by their offsets are an operator's choice: they stay where they are, whatever comes."""
    if asked.dead_letters:
        return Handling(True, True, settings.dead_letter.max_replays, asked.wanted(now))
    return Handling(are_letters=_are_letters(asked, settings))


def _are_letters(asked: Asked, settings: Settings) -> bool:
    topics = {partition.topic for partition in asked.parsed_offsets()}
    if settings.dead_letter_topic in topics and len(topics) > 1:
        raise _bad_offsets("dead letters and other records cannot be replayed in one go")
    return asked.dead_letters or settings.dead_letter_topic in topics


def _check_topic(topic: str, settings: Settings, existing: Collection[str]) -> None:
    pattern = pattern_of(settings.kafka.topic, settings.name, settings.mongodb.database)
    if topic != settings.dead_letter_topic and not pattern.fullmatch(topic):
        raise _bad_offsets(f"{topic} is no topic of this pipeline (kafka.topic is {settings.kafka.topic})")
    if topic not in existing:
        raise _bad_offsets(f"Kafka has no topic {topic}")


def _namespace(collection: str, settings: Settings) -> tuple[str, str]:
    """(database, collection); with one database configured its name may be left out."""
    if settings.mongodb.database is not None:
        return settings.mongodb.database, collection
    database, dot, name = collection.partition(".")
    if not (database and dot and name):
        raise typer.BadParameter(
            f"{collection!r}: all databases are watched, so say DATABASE.COLLECTION", param_hint="--collection"
        )
    return database, name


def _moment(text: str, option: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError) as exc:
        raise typer.BadParameter(f"{text!r} is no ISO-8601 time", param_hint=option) from exc


def _duration(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r}: {exc}", param_hint="--since") from exc
    if not 0 < seconds <= 100 * 365 * 86_400:
        raise typer.BadParameter(f"{text!r} is no time span to go back", param_hint="--since")
    return seconds


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else max(0, int(seconds * 1000))


def _bad_offsets(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--topic-partition")
