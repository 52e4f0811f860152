"""The work of `cdc dlq`: reads the dead-letter topic from its beginning to its present end, and changes nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import typer

from cdc_cli.cli import dlq_text as text
from cdc_cli.cli.session import Session
from cdc_cli.consume import Partition
from cdc_cli.consume.letters import Letter, backlog_group, read_letter
from cdc_cli.consume.ranges import Bounds, RangeReader
from cdc_cli.errors import ExitCode, Retryable
from cdc_cli.wiring import wire
from cdc_cli.workers.replay import ReplayTools

_SILENCE = 30.0
_BATCH = 500


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
        moment = text.moment(letter)
        known = [moment, *self.times]
        self.times = [min(known), max(known)]


class _Topic(NamedTuple):
    """The dead-letter topic as it stands now; `replayed` are the offsets before which all were replayed."""

    reader: RangeReader
    ranges: Mapping[Partition, Bounds]
    replayed: Mapping[Partition, int]


def list_letters(session: Session) -> None:
    """Counts by error and origin; none at all is fine."""
    counts: dict[Kind, Count] = {}
    with _open(session) as topic:
        for letter in _read(session, topic, topic.ranges):
            is_waiting = letter.record.offset >= topic.replayed.get(letter.partition, 0)
            counts.setdefault(Kind(letter.code, letter.source), Count()).add(letter, is_waiting)
    ordered = sorted(counts.items(), key=lambda item: (-item[1].waiting, -item[1].letters, item[0]))
    kinds = [text.count_json(kind.code, kind.source, c.letters, c.waiting, c.times) for kind, c in ordered]
    waiting = sum(count.waiting for count in counts.values())
    if kinds:
        session.output.table(text.HEADER, [text.count_row(kind) for kind in kinds])
    total = sum(count.letters for count in counts.values())
    session.output.text(f"{total} dead letters in {session.settings.dead_letter_topic}, {waiting} not replayed yet")
    for kind in kinds:
        session.output.item(kind)
    session.output.result({"kinds": kinds}, summary={"letters": total, "waiting": waiting})


def show_letters(session: Session, limit: int, place: tuple[int, int] | None, with_value: bool) -> None:
    """The newest ones, or the one at (partition, offset); 1 when there is none there."""
    with _open(session) as topic:
        if place is None:
            wanted = {p: Bounds(max(b.first, b.end - limit), b.end) for p, b in topic.ranges.items()}
        else:
            partition = Partition(session.settings.dead_letter_topic, place[0])
            kept = topic.ranges.get(partition, Bounds(0, 0))
            wanted = {partition: Bounds(place[1], place[1] + 1)} if kept.first <= place[1] < kept.end else {}
        letters = heapq.nlargest(limit, _read(session, topic, wanted), key=text.moment)
    found = [text.letter_json(letter, topic.replayed, with_value) for letter in letters]
    for letter in letters:
        session.output.text(session.clean(text.letter_text(letter, topic.replayed, with_value)))
    for one in found:
        session.output.item(one)
    session.output.result({"letters": found}, summary={"letters": len(found)}, ok=bool(found) or place is None)
    if not found:
        session.output.note("no dead letters" if place is None else "there is no dead letter at that place")
        if place is not None:
            raise typer.Exit(int(ExitCode.DIFFERS))


@contextmanager
def _open(session: Session) -> Iterator[_Topic]:
    """Connect, and fix the end. A topic that was never made has no partitions."""
    settings = session.settings
    with wire(settings, session.stop) as container:
        tools = container.get(ReplayTools)
        tools.starter("connecting to Kafka", lambda: tools.reader.start(backlog_group(settings.group_id)))
        partitions = tools.starter(
            "looking up partitions", lambda: tools.reader.partitions([settings.dead_letter_topic])
        )
        bounds = tools.starter("looking up offsets", lambda: tools.reader.bounds(partitions))
        replayed = tools.starter("looking up offsets", lambda: tools.reader.committed(partitions))
        # An offset beyond the end belongs to a topic of this name that was deleted.
        yield _Topic(tools.reader, bounds, {p: o for p, o in replayed.items() if o <= bounds[p].end})


def _read(session: Session, topic: _Topic, ranges: Mapping[Partition, Bounds]) -> Iterator[Letter]:
    reader, clock = topic.reader, session.clock
    reader.open(ranges)
    heard = clock.monotonic()
    while any(reader.positions()[p] < r.end for p, r in ranges.items()):
        found = reader.poll(0.5, _BATCH)
        for partition, records in found.items():
            yield from (read_letter(partition, record) for record in records)
        if found:
            heard = clock.monotonic()
        elif clock.monotonic() - heard > _SILENCE:
            raise Retryable(
                f"Kafka has not delivered anything for {_SILENCE:g} s", "are the brokers up?", "kafka.silent"
            )
