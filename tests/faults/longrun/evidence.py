"""Moments: what was durable where, taken while the pipeline is running or right after a kill (I4, I5).

A moment is evidence whenever it is taken, because what is read first can only be older than what is read after it:
first the token, then how far Kafka's topics go; first Kafka's offsets, then one snapshot of PostgreSQL's.
Moments of rows are kept on disk until they are judged against the whole log.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import redis
from bson import json_util
from kafka.errors import KafkaError

from tests.faults.history import Appended, Changed
from tests.faults.invariants import Violation, log_in_order
from tests.support.compare import row_key
from tests.support.topics import Kept, Topics
from tests.support.witness import AtSyncKill, AtWatchKill, Place, Seen, at_sync_kill

_OPTIONS = json_util.JSONOptions(tz_aware=False, uuid_representation=0)


class Event(NamedTuple):
    """A record that stands in Kafka, as far as the judges look at it."""

    place: Place
    offset: int
    key: bytes | None
    position: str
    row: tuple[str, str, str]
    is_missing: bool


class Letter(NamedTuple):
    """A dead letter: of a change at `position`, or of a record that is no change (None)."""

    place: Place
    offset: int
    key: bytes
    position: str | None


class Moments:
    """Takes them and keeps them; `topics` looks past the proxies. Not thread-safe."""

    def __init__(self, folder: Path, topics: Topics, names: Sequence[str], token: Callable[[], str | None]) -> None:
        """`names` are the topics of records and of dead letters."""
        self._folder = folder
        self._topics = topics
        self._names = names
        self._token = token
        self.tokens: list[AtWatchKill] = []
        self.offsets: list[Path] = []
        self.unseen = 0
        """Moments that could not be taken, because a server was down."""

    def of_token(self) -> None:
        try:
            position = self._token()
            self.tokens.append(AtWatchKill(position, self._topics.ends(self._names)))
        except (KafkaError, redis.RedisError, OSError, AssertionError):
            self.unseen += 1

    def of_offsets(self, dsn: str, group: str, collections: Sequence[str]) -> None:
        import psycopg2

        try:
            committed = self._topics.committed(group)
            moment = at_sync_kill(dsn, group, committed, collections)
        except (KafkaError, psycopg2.Error, OSError, AssertionError):
            self.unseen += 1
            return
        file = self._folder / f"moment-{len(self.offsets)}.pickle"
        file.write_bytes(pickle.dumps(moment))
        self.offsets.append(file)


def events_of(records: Iterable[Kept]) -> list[Event]:
    """Parsed once, for all moments."""
    found = []
    for record in records:
        event = record.event
        id_ = event["id"]
        value = json_util.object_hook(id_, _OPTIONS) if isinstance(id_, dict) else id_
        row = (event["ns"].split(".", 1)[1], *row_key(value))
        place = (record.topic, record.partition)
        found.append(Event(place, record.offset, record.key, event["pos"], row, bool(event.get("missing"))))
    return found


def letters_of(records: Iterable[Kept]) -> list[Letter]:
    """The dead letters, by what their headers say."""
    found = []
    for record in records:
        position = record.headers.get("cdc.position")
        place = (record.topic, record.partition)
        found.append(Letter(place, record.offset, record.key or b"", position.decode() if position else None))
    return found


def never_sent(changes: Sequence[Seen], kept: Iterable[Event | Letter]) -> list[Seen]:
    """Changes that are not in Kafka, neither as a record nor as a dead letter."""
    sent = {one.position for one in kept}
    return [change for change in changes if change.position not in sent]


def out_of_order(changes: Sequence[Seen], events: Sequence[Event]) -> list[Violation]:
    """Records that overtook an earlier change of their document, or are no change at all (I6).

    When partitions were added, a document moved to another one; nothing tells the order of records in two
    partitions, so that such a document is judged in each of its partitions by itself, and a change that stands in
    two of them, because it was sent again after the move, in none.
    """
    places: dict[tuple[str, str, str], set[Place]] = defaultdict(set)
    of_change: dict[str, set[Place]] = defaultdict(set)
    for event in events:
        places[event.row].add(event.place)
        of_change[event.position].add(event.place)
    groups: dict[Place | None, list[Event]] = defaultdict(list)
    for event in events:
        if len(of_change[event.position]) == 1:
            groups[event.place if len(places[event.row]) > 1 else None].append(event)
    return [violation for group in groups.values() for violation in _disorder(changes, group)]


def _disorder(changes: Sequence[Seen], events: Sequence[Event]) -> list[Violation]:
    by_position = {event.position: " ".join(event.row) for event in events}
    history: list[Changed | Appended] = [
        Changed(index, by_position.get(change.position, f"? {change.position}"), change.position, None)
        for index, change in enumerate(changes)
    ]
    history += [Appended(0, e.place, e.offset, e.key, e.position, " ".join(e.row)) for e in events]
    return log_in_order(history)


def token_ahead(moment: AtWatchKill, changes: Sequence[Seen], kept: Iterable[Event | Letter]) -> list[Seen]:
    """Changes that the token skips and that Kafka had not, neither as a record nor as a dead letter (I4)."""
    if moment.position is None:
        return []
    there = {one.position for one in kept if one.offset < moment.ends.get(one.place, 0)}
    return [change for change in changes if change.position <= moment.position and change.position not in there]


def offsets_ahead(file: Path, events: Sequence[Event]) -> list[str]:
    """Records before a stored offset that PostgreSQL had not, and offsets that only Kafka was told (I5)."""
    moment: AtSyncKill = pickle.loads(file.read_bytes())
    stored: Mapping[Place, int] = moment.stored
    found = [
        f"Kafka was told {offset} of {place}, PostgreSQL knows {stored.get(place)}"
        for place, offset in moment.committed.items()
        if offset > stored.get(place, 0)
    ]
    ahead = [
        event
        for event in events
        if event.offset < stored.get(event.place, 0)
        and not event.is_missing
        and moment.positions.get(event.row, "") < event.position
    ]
    return found + [f"{event.row} at {event.position} is not in PostgreSQL" for event in ahead]
