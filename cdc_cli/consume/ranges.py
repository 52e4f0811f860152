"""Reading a stretch of Kafka again, beside the live group: what there is to read, and what is gone.

The contract is `RangeReader`: it assigns partitions to itself and is no member of any group, so the offsets of
`cdc sync` never move. Ends are fixed when the plan is made, so that a replay ends while new records pour in.
Pure but for the reader that is passed in. Times are Kafka's record timestamps, epoch milliseconds; offsets are
the next to read; every stretch is half open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cdc_cli.consume import Partition, RawRecord


class Bounds(NamedTuple):
    """What Kafka keeps of a partition: the first offset, and the end (the next record's offset)."""

    first: int
    end: int


class RangeReader(Protocol):
    """Reads given stretches; one thread's object. Methods block and raise Retryable, Denied, ConfigError."""

    def start(self, group: str | None) -> None:
        """Connect. `group` is whose committed offsets `committed` and `commit` are about."""
        ...

    def partitions(self, topics: Sequence[str]) -> Sequence[Partition]:
        """All partitions of those of the topics that exist."""
        ...

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]: ...

    def offsets_at(self, partitions: Sequence[Partition], time_ms: int) -> Mapping[Partition, int]:
        """The first offset with a timestamp of at least that; absent = all that is kept is older."""
        ...

    def peek(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, RawRecord]:
        """The record at each offset or the next one after it; absent = there is none up to the end."""
        ...

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """The group's offsets; partitions without one are absent."""
        ...

    def open(self, ranges: Mapping[Partition, Bounds]) -> None:
        """Begin to read these stretches; whatever was being read before is forgotten."""
        ...

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        """The next records of the open stretches; also raises PositionLost when they were removed meanwhile."""
        ...

    def positions(self) -> Mapping[Partition, int]:
        """Per open stretch the next offset to read; at its end it is `end`. Does not block."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Store the group's offsets."""
        ...

    def close(self, timeout: float) -> None:
        """Never raises."""
        ...


class Request(NamedTuple):
    """What is asked for: offsets, or the dead letters with what waits among them, or a time span (None = open)."""

    since_ms: int | None = None
    until_ms: int | None = None
    offsets: Mapping[Partition, tuple[int, int | None]] = {}
    backlog: bool = False


class Gap(NamedTuple):
    """Something that was asked for and is not there. `requested` and `kept` are (kind, number): a time or an
    offset; `kept` None = nothing is kept at all."""

    partition: Partition
    requested: tuple[str, int]
    kept: tuple[str, int] | None


class Slice(NamedTuple):
    """What will be read of one partition; the timestamps are those of its first and last record."""

    partition: Partition
    range: Bounds
    first_ms: int | None
    last_ms: int | None

    @property
    def length(self) -> int:
        """Offsets to go through: as many records, or fewer where the topic is compacted."""
        return self.range.end - self.range.first


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay reads. `samples` are first and last records, to tell which collections are in it."""

    slices: Sequence[Slice]
    gaps: Sequence[Gap]
    samples: Sequence[RawRecord] = field(default=())

    @property
    def length(self) -> int:
        return sum(piece.length for piece in self.slices)

    @property
    def ranges(self) -> dict[Partition, Bounds]:
        """What there is to read; partitions with nothing in them are left out."""
        return {piece.partition: piece.range for piece in self.slices if piece.length > 0}

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """The oldest and the newest timestamp, as far as the first and last records tell."""
        times = [ms for piece in self.slices for ms in (piece.first_ms, piece.last_ms) if ms is not None]
        return (min(times), max(times)) if times else None


def make_plan(
    reader: RangeReader,
    request: Request,
    partitions: Sequence[Partition],
    retentions: Mapping[str, float],
    now_ms: int,
) -> Plan:
    """Resolve the request against what Kafka keeps. `retentions`: seconds per topic, where nothing but age
    removes its records. Blocks; raises what the reader raises."""
    bounds = reader.bounds(partitions)
    gaps: list[Gap] = []
    if request.offsets:
        ranges = {p: _by_offset(p, request.offsets[p], bounds[p], gaps) for p in partitions}
    elif request.backlog:
        committed = reader.committed(partitions)
        ranges = {p: _backlog(p, committed.get(p), bounds[p], gaps) for p in partitions}
    else:
        ranges = _by_time(reader, request, bounds)
        if request.since_ms is not None:
            for partition, (first, end) in bounds.items():
                young = now_ms - retentions.get(partition.topic, 0.0) * 1000 <= request.since_ms
                gaps.extend(_removed(partition, request.since_ms, ranges[partition], first, end, young))
    return _with_times(reader, ranges, gaps)


def _by_offset(
    partition: Partition, wanted: tuple[int, int | None], kept: Bounds, gaps: list[Gap]
) -> Bounds:
    first, end = wanted[0], kept.end if wanted[1] is None else wanted[1]
    if first < kept.first:
        gaps.append(Gap(partition, ("offset", first), ("offset", kept.first)))
    if end > kept.end or first > kept.end:
        gaps.append(Gap(partition, ("offset", max(first, end)), ("offset", kept.end)))
    first = min(max(first, kept.first), kept.end)
    return Bounds(first, max(first, min(end, kept.end)))


def _backlog(partition: Partition, committed: int | None, kept: Bounds, gaps: list[Gap]) -> Bounds:
    """Everything that is kept. The group's offset tells what waited once and is gone.

    One beyond the end belongs to a topic of the same name that was deleted: all of this one is new.
    """
    if committed is not None and committed > kept.end:
        committed = 0
    first = committed or 0
    if first < kept.first:
        gaps.append(Gap(partition, ("offset", first), ("offset", kept.first)))
    return kept


def _by_time(
    reader: RangeReader, request: Request, bounds: Mapping[Partition, Bounds]
) -> dict[Partition, Bounds]:
    partitions = list(bounds)
    starts = {p: bounds[p].first for p in partitions}
    ends = {p: bounds[p].end for p in partitions}
    if request.since_ms is not None:
        starts = {**ends, **reader.offsets_at(partitions, request.since_ms)}
    if request.until_ms is not None:
        ends = {**ends, **reader.offsets_at(partitions, request.until_ms)}
    # A record that came in after the ends were fixed is no part of the replay, though the look-up may name it.
    ends = {p: min(ends[p], bounds[p].end) for p in partitions}
    return {p: Bounds(min(starts[p], ends[p]), ends[p]) for p in partitions}


def _removed(
    partition: Partition, since_ms: int, found: Bounds, first: int, end: int, young: bool
) -> list[Gap]:
    """Whether records of the requested time may have been removed: no older record is there to prove that not.

    An empty partition proves nothing either, but `young` does: what was asked for is not old enough to be gone.
    """
    if first == 0 or found.first > first:
        return []
    if first == end:
        return [] if young else [Gap(partition, ("time", since_ms), None)]
    return [Gap(partition, ("time", since_ms), ("offset", first))]


def _with_times(reader: RangeReader, ranges: Mapping[Partition, Bounds], gaps: Sequence[Gap]) -> Plan:
    """Look at the first and last record of each stretch, and at the earliest one kept where something is gone."""
    filled = {p: r for p, r in ranges.items() if r.end > r.first}
    firsts = reader.peek({p: r.first for p, r in filled.items()})
    lasts = reader.peek({p: r.end - 1 for p, r in filled.items()})
    slices = [
        Slice(partition, ranges[partition], _time(firsts.get(partition)), _time(lasts.get(partition)))
        for partition in sorted(ranges)
    ]
    told = [_dated(gap, firsts.get(gap.partition)) for gap in gaps]
    return Plan(slices, told, [*firsts.values(), *lasts.values()])


def _dated(gap: Gap, earliest: RawRecord | None) -> Gap:
    """A gap in time is told in times."""
    if gap.requested[0] != "time" or gap.kept is None or earliest is None:
        return gap
    return gap._replace(kept=("time", earliest.timestamp))


def _time(record: RawRecord | None) -> int | None:
    return record.timestamp if record is not None and record.timestamp >= 0 else None
