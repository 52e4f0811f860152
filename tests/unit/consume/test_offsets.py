"""Which offsets may be committed: never past a record that is not finished (invariant I5)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.consume import Partition
from cdc_cli.consume.offsets import Offsets

P = Partition("t", 0)


@pytest.mark.requirement("R4.5")
def test_a_slow_lane_holds_the_offset_back_although_the_others_are_further() -> None:
    offsets = Offsets(lanes=2)
    assignment = offsets.assign(P, 10, stored=10)
    for offset, lane in ((10, 0), (11, 1), (12, 1)):
        assignment.pending[lane].append(offset)
    assignment.reached(13)
    assignment.done(1, 2)
    assert offsets.committable() == {}
    assignment.done(0, 1)
    assert offsets.committable() == {P: 13}


def test_where_a_partition_begins_is_stored_before_anything_is_read_of_it() -> None:
    offsets = Offsets(lanes=1)
    offsets.assign(P, 7)
    assert offsets.committable() == {P: 7}


def test_what_is_stored_is_not_offered_again() -> None:
    offsets = Offsets(lanes=1)
    assignment = offsets.assign(P, 0)
    assignment.pending[0].append(0)
    assignment.reached(1)
    assignment.done(0, 1)
    offsets.stored(offsets.committable())
    assert offsets.committable() == {}


def test_a_partition_that_was_taken_away_is_not_committed_and_its_records_are_marked() -> None:
    offsets = Offsets(lanes=1)
    old = offsets.assign(P, 0)
    old.pending[0].append(0)
    old.reached(1)
    offsets.revoke([P])
    assert old.revoked
    assert offsets.committable() == {}
    new = offsets.assign(P, 0, stored=0)
    old.done(0, 1)
    assert not new.revoked
    assert offsets.committable() == {}


@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(1, 5))
def test_no_order_of_work_commits_past_an_unfinished_record(seed: int, count: int, lanes: int) -> None:
    chance = random.Random(seed)
    offsets = Offsets(lanes)
    assignment = offsets.assign(P, 0)
    unfinished: list[list[int]] = [[] for _ in range(lanes)]
    routed = 0
    while routed < count or any(unfinished):
        if routed < count and chance.random() < 0.5:
            lane = chance.randrange(lanes)
            unfinished[lane].append(routed)
            assignment.pending[lane].append(routed)
            routed += 1
            assignment.reached(routed)
        elif busy := [n for n, lane in enumerate(unfinished) if lane]:
            lane = chance.choice(busy)
            some = chance.randint(1, len(unfinished[lane]))
            del unfinished[lane][:some]
            assignment.done(lane, some)
        lowest = min((lane[0] for lane in unfinished if lane), default=routed)
        assert assignment.committable() == lowest
