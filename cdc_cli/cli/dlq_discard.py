"""The work of `cdc dlq discard`: dead letters that shall not be applied any more wait no longer. Kafka keeps them until
their retention ends; what was discarded, when and why is kept as long as that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import typer

from cdc_cli.cli import dlq_text as text
from cdc_cli.cli.dlq_run import Counts
from cdc_cli.cli.dlq_topic import LettersTopic, open_topic
from cdc_cli.cli.replay_request import Asked
from cdc_cli.cli.session import Session
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import How, Place, Wanted, behind, place_of

_AT_ONCE = 5_000


class Chosen(NamedTuple):
    """The options as they were given."""

    everything: bool = False
    codes: Sequence[str] = ()
    offsets: Sequence[str] = ()

    def check(self) -> None:
        """Refuse what contradicts itself, and a choice of nothing in particular."""
        narrowed = bool(self.codes or self.offsets)
        if not (self.everything or narrowed):
            raise typer.BadParameter("say what to discard: --all, --code, --topic-partition")
        if self.everything and narrowed:
            raise typer.BadParameter("--all takes every letter that waits: it goes with no other choice")
        self._places()

    def wanted(self, topic: str) -> Wanted:
        """Which letters; raises BadParameter for offsets of another topic."""
        places = self._places()
        for partition in sorted(places or ()):
            if partition.topic != topic:
                raise typer.BadParameter(
                    f"{partition.topic} is not the dead-letter topic: give places in {topic}, as cdc dlq show has them",
                    param_hint="--topic-partition",
                )
        return Wanted(frozenset(self.codes) or None, None, places)

    def _places(self) -> Mapping[Partition, tuple[int, int | None]] | None:
        return Asked(offsets=self.offsets).parsed_offsets() if self.offsets else None


class _Found(NamedTuple):
    """The letters to discard, and where the first of the others waits in each partition."""

    places: list[Place]
    others: list[Place]
    counts: Counts


def discard(session: Session, chosen: Chosen, reason: str, execute: bool) -> None:
    """Shows the letters by kind, and settles them with `execute`. Nothing to discard is fine."""
    wanted = chosen.wanted(session.settings.dead_letter_topic)
    with open_topic(session, to_settle=execute) as topic:
        found = _find(topic, wanted)
        if execute:
            _settle(topic, found, reason)
    _tell(session, found, reason, execute)


def _find(topic: LettersTopic, wanted: Wanted) -> _Found:
    found, first = _Found([], [], Counts()), dict[Partition, Place]()
    for letter in topic.read(topic.ranges):
        if not topic.backlog.waits(letter):
            continue
        place = place_of(letter.partition, letter.record)
        if wanted.takes(letter):
            found.places.append(place)
            found.counts.add(letter, True)
        else:
            first.setdefault(letter.partition, place)
    found.others.extend(first.values())
    return found


def _settle(topic: LettersTopic, found: _Found, reason: str) -> None:
    """Letter by letter, and then the group's offsets for those who look at Kafka."""
    tools = topic.tools
    for at in range(0, len(found.places), _AT_ONCE):
        some = dict.fromkeys(found.places[at : at + _AT_ONCE], How.DISCARDED)
        tools.starter("discarding dead letters", partial(tools.memory.settle, some, reason))
    offsets = behind(topic.ranges, found.others)
    tools.starter("storing the offsets of the dead letters", lambda: tools.reader.commit(offsets))
    firsts = {partition: bounds.first for partition, bounds in topic.ranges.items()}
    tools.starter("forgetting old dead letters", lambda: tools.memory.forget(firsts))


def _tell(session: Session, found: _Found, reason: str, execute: bool) -> None:
    output, count, kinds = session.output, len(found.places), found.counts.as_json()
    if kinds:
        output.table(text.HEADER, [text.count_row(kind) for kind in kinds])
    verb = "discarded" if execute else "to discard"
    output.text(f"{count} dead letters {verb}" if count else "no dead letter that waits is meant: nothing to discard")
    if count and not execute:
        output.note("nothing was changed: this is the plan, --execute carries it out")
    for kind in kinds:
        output.item(kind)
    summary: dict[str, Any] = {"executed": execute, "letters": count, "others_waiting": bool(found.others)}
    output.item({"summary": summary})
    output.result({"kinds": kinds, "reason": reason}, summary=summary)
