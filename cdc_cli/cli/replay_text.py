"""How a replay's plan and outcome are shown: plain aligned lines for people, plain objects for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from cdc_cli.apply.names import table_name
from cdc_cli.cli.output import Mark, Output, aligned
from cdc_cli.cli.replay_request import Asked
from cdc_cli.cli.token_text import iso
from cdc_cli.consume import Partition
from cdc_cli.consume.ranges import Gap, Plan
from cdc_cli.envelope import decode
from cdc_cli.errors import PoisonEvent
from cdc_cli.settings.models import Settings
from cdc_cli.workers.replay import Tally


class Described:
    """A plan, told."""

    def __init__(self, plan: Plan, asked: Asked, settings: Settings, settled: int = 0) -> None:
        """`settled`: so many of the records are dead letters that were dealt with before."""
        self._plan = plan
        self._asked = asked
        self._settled = settled
        self.tables = _tables(plan, settings)

    def lines(self, output: Output) -> Iterator[str]:
        plan = self._plan
        rows = [
            (p.topic, p.number, first, end, end - first, _time(piece.first_ms), _time(piece.last_ms))
            for piece in plan.slices
            for p, (first, end) in [(piece.partition, piece.range)]
            if end > first
        ]
        if rows:
            yield from aligned(("topic", "partition", "from", "to", "records", "first", "last"), rows)
        for gap in plan.gaps:
            yield f"{output.mark(Mark.WARN)} {_gap_text(gap)}"
        yield self._total(len(rows))

    def summary(
        self, tally: Tally | None = None, done: bool = False, seconds: float = 0.0
    ) -> dict[str, object]:
        """`summary` of the envelope; of a plan that was not executed there are no counts."""
        plan: dict[str, object] = {
            "executed": tally is not None,
            "records": self._plan.length,
            "covered": not self._plan.gaps,
        }
        if self._asked.dead_letters:
            plan["settled"] = self._settled
        if tally is None:
            return plan
        counts = {"applied": tally.applied, **asdict(tally)}
        return {**plan, "completed": done, "seconds": round(seconds, 3), **counts}

    def as_json(self, reached: Mapping[Partition, int] | None = None, done: bool = False) -> dict[str, Any]:
        """`result` of the envelope; `reached` is where an execution got."""
        span = self._plan.span_ms
        return {
            "partitions": [
                {
                    "topic": piece.partition.topic,
                    "partition": piece.partition.number,
                    "first_offset": piece.range.first,
                    "end_offset": piece.range.end,
                    "records": piece.length,
                    "first_time": _iso_ms(piece.first_ms),
                    "last_time": _iso_ms(piece.last_ms),
                    "reached": reached.get(piece.partition) if reached else None,
                }
                for piece in self._plan.slices
            ],
            "gaps": [_gap_json(gap) for gap in self._plan.gaps],
            "first_time": _iso_ms(span[0]) if span else None,
            "last_time": _iso_ms(span[1]) if span else None,
            "tables": self.tables,
            "rest": [] if reached is None or done else list(rest(self._plan, reached)),
        }

    def _total(self, partitions: int) -> str:
        plan, what = self._plan, "dead letters" if self._asked.dead_letters else "records"
        if not plan.length:
            return f"no {what} to replay"
        span = plan.span_ms
        times = f", {_time(span[0])} to {_time(span[1])}" if span else ""
        tables = f", into {', '.join(self.tables)}" if self.tables else ""
        filters = " to look through" if self._asked.is_narrowed else ""
        settled = f" ({self._settled} of them settled before)" if self._settled else ""
        return f"{plan.length} {what}{filters}{settled} in {partitions} partitions{times}{tables}"


def outcome(tally: Tally, seconds: float, done: bool, dead_letters: bool) -> Iterator[str]:
    """The last lines for people."""
    verb = "replayed" if done else "replayed until the interruption"
    yield (
        f"{verb}: {tally.read} records in {seconds:.1f} s: {tally.applied} applied "
        f"({tally.inserted} inserted, {tally.updated} updated, {tally.deleted} deleted), "
        f"{tally.stale} stale, {tally.failed} failed"
    )
    rest = {
        "superseded by a newer one of the same batch": tally.merged,
        "deletes ignored (syncer.on_delete)": tally.ignored,
        "without anything to write": tally.empty,
        "not asked for": tally.filtered,
        "replayed or discarded before": tally.settled,
    }
    yield from (f"  {count} {what}" for what, count in rest.items() if count)
    if tally.refused:
        yield (
            f"  {tally.refused} dead letters passed over, replayed dead_letter.max_replays times already: "
            "cdc dlq show has them, --topic-partition replays them"
        )
    if tally.failed:
        stays = "they are dead letters again" if dead_letters else "cdc dlq show says why"
        yield f"  {tally.failed} could not be applied: {stays}"


def rest(plan: Plan, positions: Mapping[Partition, int]) -> Iterator[str]:
    """The options that replay what has not been reached."""
    for partition, (first, end) in plan.ranges.items():
        reached = positions.get(partition, first)
        if reached < end:
            yield f"--topic-partition {partition.topic}:{partition.number}:{reached}-{end}"


def _tables(plan: Plan, settings: Settings) -> list[str]:
    """Those of the first and last record of each partition: all of them, where a topic holds one collection."""
    found = set()
    for record in plan.samples:
        try:
            namespace = decode(record.value).namespace
        except PoisonEvent:
            continue
        found.add(f"{settings.postgres.schema_}.{table_name(namespace, settings.mongodb.database)}")
    return sorted(found)


def _gap_text(gap: Gap) -> str:
    where = f"{gap.partition.topic} partition {gap.partition.number}"
    asked = _point(gap.requested)
    if gap.kept is None:
        return f"{where}: requested {asked}, nothing is kept any more"
    edge = "earliest" if gap.requested[0] == "time" or gap.requested[1] < gap.kept[1] else "latest"
    return f"{where}: requested {asked}, {edge} kept {_point(gap.kept)}"


def _gap_json(gap: Gap) -> dict[str, Any]:
    return {
        "topic": gap.partition.topic,
        "partition": gap.partition.number,
        "requested": _point(gap.requested),
        "kept": _point(gap.kept) if gap.kept else None,
    }


def _point(point: tuple[str, int]) -> str:
    kind, number = point
    return _time(number) if kind == "time" else f"offset {number}"


def _iso_ms(ms: int | None) -> str | None:
    return None if ms is None else iso(ms / 1000)


def _time(ms: int | None) -> str:
    return _iso_ms(ms) or "-"
