"""The work of `cdc dlq list` and `show`: what stands in the dead-letter topic, and what waits. Changes nothing."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import typer

from cdc_cli.cli import dlq_text as text
from cdc_cli.cli.dlq_topic import LettersTopic, open_topic
from cdc_cli.cli.session import Session
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import failed_at
from cdc_cli.consume.letters import Letter
from cdc_cli.consume.ranges import Bounds
from cdc_cli.errors import ExitCode


class Kind(NamedTuple):
    """What dead letters are counted by."""

    code: str
    source: str


@dataclass(slots=True)
class Count:
    """Dead letters of one kind; times are epoch seconds of the last failure."""

    letters: int = 0
    waiting: int = 0
    times: list[float] = field(default_factory=list)

    def add(self, letter: Letter, is_waiting: bool) -> None:
        self.letters += 1
        self.waiting += is_waiting
        known = [failed_at(letter), *self.times]
        self.times = [min(known), max(known)]


class Counts:
    """Dead letters by kind."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, Count] = {}

    def add(self, letter: Letter, is_waiting: bool) -> None:
        self._kinds.setdefault(Kind(letter.code, letter.source), Count()).add(letter, is_waiting)

    @property
    def letters(self) -> int:
        return sum(count.letters for count in self._kinds.values())

    @property
    def waiting(self) -> int:
        return sum(count.waiting for count in self._kinds.values())

    def as_json(self, everything: bool = True) -> list[dict[str, Any]]:
        """Most waiting letters first; without `everything` only kinds that have some."""
        ordered = sorted(self._kinds.items(), key=lambda item: (-item[1].waiting, -item[1].letters, item[0]))
        return [
            text.count_json(kind.code, kind.source, count.letters, count.waiting, count.times)
            for kind, count in ordered
            if everything or count.waiting
        ]


def list_letters(session: Session, everything: bool) -> None:
    """Counts by error and origin; none at all is fine."""
    counts = Counts()
    with open_topic(session) as topic:
        for letter in topic.read(topic.ranges):
            counts.add(letter, topic.backlog.waits(letter))
    kinds = counts.as_json(everything)
    if kinds:
        session.output.table(text.HEADER, [text.count_row(kind) for kind in kinds])
    total, waiting = counts.letters, counts.waiting
    session.output.text(f"{total} dead letters in {session.settings.dead_letter_topic}, {waiting} of them wait")
    for kind in kinds:
        session.output.item(kind)
    session.output.result({"kinds": kinds}, summary={"letters": total, "waiting": waiting})


def show_letters(session: Session, limit: int, place: tuple[int, int] | None, with_value: bool) -> None:
    """The newest ones, or the one at (partition, offset); 1 when there is none there."""
    with open_topic(session) as topic:
        wanted = _wanted(topic, limit, place)
        letters = heapq.nlargest(limit, topic.read(wanted), key=failed_at)
        backlog = topic.backlog
    found = [text.letter_json(letter, backlog, with_value) for letter in letters]
    for letter in letters:
        session.output.text(session.clean(text.letter_text(letter, backlog, with_value)))
    for one in found:
        session.output.item(one)
    session.output.result({"letters": found}, summary={"letters": len(found)}, ok=bool(found) or place is None)
    if not found:
        session.output.note("no dead letters" if place is None else "there is no dead letter at that place")
        if place is not None:
            raise typer.Exit(int(ExitCode.DIFFERS))


def _wanted(topic: LettersTopic, limit: int, place: tuple[int, int] | None) -> Mapping[Partition, Bounds]:
    if place is None:
        return {p: Bounds(max(b.first, b.end - limit), b.end) for p, b in topic.ranges.items()}
    partition = Partition(topic.name, place[0])
    kept = topic.ranges.get(partition, Bounds(0, 0))
    return {partition: Bounds(place[1], place[1] + 1)} if kept.first <= place[1] < kept.end else {}
