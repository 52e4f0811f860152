"""What a replay will read, and what it cannot read any more."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from cdc_cli.consume import Partition
from cdc_cli.consume.ranges import Bounds, Gap, Plan, Request, make_plan
from tests.support.fakes_ranges import FakeRangeReader

P, Q = Partition("t", 0), Partition("t", 1)
NOW = 100_000_000


@pytest.fixture
def reader() -> FakeRangeReader:
    """P has ten records, a minute apart, the last one now; Q is empty."""
    made = FakeRangeReader(P, Q)
    for number in range(10):
        made.add(P, b"v", time_ms=NOW - (9 - number) * 60_000)
    return made


def plan(reader: FakeRangeReader, request: Request, retentions: Mapping[str, float] | None = None) -> Plan:
    partitions = sorted(request.offsets) if request.offsets else [P, Q]
    return make_plan(reader, request, partitions, retentions or {}, NOW)


def test_everything_is_what_kafka_keeps(reader: FakeRangeReader) -> None:
    reader.forget(P, before=4)
    found = plan(reader, Request())
    assert (found.ranges, found.gaps, found.length) == ({P: Bounds(4, 10)}, [], 6)
    assert found.span_ms == (NOW - 5 * 60_000, NOW)


def test_a_time_span_is_half_open_and_its_end_is_fixed(reader: FakeRangeReader) -> None:
    span = Request(since_ms=NOW - 5 * 60_000, until_ms=NOW - 2 * 60_000)
    assert plan(reader, span).ranges == {P: Bounds(4, 7)}
    assert plan(reader, Request(since_ms=NOW - 90_000)).ranges == {P: Bounds(8, 10)}
    assert plan(reader, Request(since_ms=NOW + 1)).ranges == {}


def test_nothing_removed_means_no_gap_however_far_back(reader: FakeRangeReader) -> None:
    assert plan(reader, Request(since_ms=0)).gaps == []


def test_a_time_before_the_earliest_kept_record_is_a_gap(reader: FakeRangeReader) -> None:
    reader.forget(P, before=4)
    since = NOW - 8 * 60_000
    assert plan(reader, Request(since_ms=since)).gaps == [Gap(P, ("time", since), ("time", NOW - 5 * 60_000))]
    assert plan(reader, Request(since_ms=NOW - 4 * 60_000)).gaps == [], "an older record is still there"


def test_of_an_empty_partition_the_retention_tells_whether_something_may_be_gone(reader: FakeRangeReader) -> None:
    reader.forget(P, before=10)
    since = NOW - 60_000
    gone = [Gap(P, ("time", since), None)]
    assert plan(reader, Request(since_ms=since)).gaps == gone
    assert plan(reader, Request(since_ms=since), {"t": 30.0}).gaps == gone
    assert plan(reader, Request(since_ms=since), {"t": 61.0}).gaps == []
    assert plan(reader, Request(since_ms=since), {"t": math.inf}).gaps == []


def test_offsets_are_clipped_to_what_is_there_and_that_is_told(reader: FakeRangeReader) -> None:
    reader.forget(P, before=4)
    assert plan(reader, Request(offsets={P: (5, 8)})).ranges == {P: Bounds(5, 8)}
    assert plan(reader, Request(offsets={P: (5, None)})).ranges == {P: Bounds(5, 10)}
    clipped = plan(reader, Request(offsets={P: (2, 12)}))
    assert clipped.ranges == {P: Bounds(4, 10)}
    assert clipped.gaps == [Gap(P, ("offset", 2), ("offset", 4)), Gap(P, ("offset", 12), ("offset", 10))]
    before, behind = plan(reader, Request(offsets={P: (1, 3)})), plan(reader, Request(offsets={P: (50, None)}))
    assert (before.ranges, behind.ranges) == ({}, {})
    assert before.gaps and behind.gaps


def test_dead_letters_are_looked_through_from_the_first_that_is_kept(reader: FakeRangeReader) -> None:
    assert plan(reader, Request(backlog=True)).ranges == {P: Bounds(0, 10)}
    reader.commit({P: 7})
    assert plan(reader, Request(backlog=True)).ranges == {P: Bounds(0, 10)}, "which of them wait is known elsewhere"
    reader.commit({P: 11})
    assert plan(reader, Request(backlog=True)).gaps == [], "the topic was made anew"


def test_dead_letters_that_expired_before_they_were_replayed_are_a_gap(reader: FakeRangeReader) -> None:
    reader.commit({P: 3})
    reader.forget(P, before=3)
    assert plan(reader, Request(backlog=True)).gaps == []
    reader.forget(P, before=5)
    assert plan(reader, Request(backlog=True)).gaps == [Gap(P, ("offset", 3), ("offset", 5))]
