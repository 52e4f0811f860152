"""Which dead letters wait, which are meant, and how far the group's offsets may move."""

from __future__ import annotations

import pytest

from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import Backlog, How, Place, Settled, Wanted, behind, place_of
from cdc_cli.consume.letters import Letter, read_letter
from cdc_cli.consume.ranges import Bounds
from tests.support.fakes_ranges import Stored

P, Q = Partition("cdc.dlq.game", 0), Partition("cdc.dlq.game", 1)


def letter(offset: int, code: str = "envelope.malformed", failed_at: float | None = 100.0, time_ms: int = 7) -> Letter:
    headers = [("cdc.error.code", code.encode())]
    if failed_at is not None:
        headers.append(("cdc.last_failed_at", str(failed_at).encode()))
    return read_letter(P, Stored(offset, b"k", b"v", time_ms, headers))


DISCARDED = Settled(How.DISCARDED, "junk", 1.0)


def test_a_letter_waits_unless_it_was_settled() -> None:
    backlog = Backlog({Place(P, 5, 7): DISCARDED, Place(Q, 1, 7): DISCARDED})
    assert [offset for offset in range(7) if backlog.waits(letter(offset))] == [0, 1, 2, 3, 4, 6]
    assert backlog.fate(letter(5)) == DISCARDED


def test_a_letter_at_the_same_place_with_another_timestamp_is_another_letter() -> None:
    backlog = Backlog({Place(P, 5, 7): DISCARDED})
    assert backlog.waits(letter(5, time_ms=8)), "the topic was deleted and made anew"


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Wanted(), True),
        (Wanted(codes={"envelope.malformed", "x"}), True),
        (Wanted(codes={"x"}), False),
        (Wanted(since=100.0), True),
        (Wanted(since=100.1), False),
        (Wanted(places={P: (5, 6)}), True),
        (Wanted(places={P: (5, None)}), True),
        (Wanted(places={P: (0, 5)}), False),
        (Wanted(places={P: (6, None)}), False),
        (Wanted(places={Q: (0, None)}), False),
        (Wanted(codes={"x"}, places={P: (5, 6)}), False),
    ],
)
def test_all_of_the_choices_have_to_fit(wanted: Wanted, meant: bool) -> None:
    assert wanted.takes(letter(5)) is meant


def test_a_letter_that_does_not_say_when_it_failed_failed_when_it_came() -> None:
    assert Wanted(since=2.0).takes(letter(0, failed_at=None, time_ms=2000))
    assert not Wanted(since=2.0).takes(letter(0, failed_at=None, time_ms=1999))


def test_the_offsets_stop_at_the_first_letter_that_waits() -> None:
    ranges = {P: Bounds(3, 9), Q: Bounds(0, 4)}
    waiting = [place_of(P, letter(offset).record) for offset in (7, 5)]
    assert behind(ranges, waiting) == {P: 5, Q: 4}
    assert behind(ranges, []) == {P: 9, Q: 4}
