"""The memory of settled dead letters on a real PostgreSQL, and the right of one process to settle them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from cdc_cli.apply.schema import CdcSchema
from cdc_cli.apply.session import Connector
from cdc_cli.apply.settled import PostgresLetters
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import How, Place
from cdc_cli.consume.ranges import Bounds
from cdc_cli.errors import Retryable, TryLater
from tests.support.waiting import eventually
from tests.support.writers import GROUP, Site

P, Q = Partition("cdc.dlq.game", 0), Partition("cdc.dlq.game", 1)
ALL = {P: Bounds(0, 1 << 40), Q: Bounds(0, 1 << 40)}
NAME = "cdc dead letters: %"
Letters = Callable[..., PostgresLetters]


@pytest.fixture
def site(postgres_dsn: str) -> Iterator[Site]:
    site = Site(postgres_dsn)
    yield site
    site.close()


@pytest.fixture
def letters(site: Site) -> Iterator[Letters]:
    """Makes memories, each as another process has it."""
    made: list[PostgresLetters] = []

    def make(group: str = GROUP) -> PostgresLetters:
        connect = Connector(site.dsn, "letters", site.schema, 20.0)
        made.append(PostgresLetters(connect, group, CdcSchema(site.pool).ensure))
        return made[-1]

    yield make
    for one in made:
        one.close()


def cut_off(site: Site) -> None:
    """The server ends the sessions that hold the right."""
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
    site.query(terminate, NAME)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"
    eventually(lambda: site.query(count, NAME) == [(0,)])


def test_what_was_settled_is_known_to_the_next_one_and_never_changes(letters: Letters) -> None:
    first = letters()
    assert first.load(ALL) == {}, "nothing was made yet"
    places = [Place(P, 5, 1_764_046_833_120), Place(P, 6, -1), Place(Q, 1 << 35, 7)]
    first.settle({places[0]: How.REPLAYED, places[1]: How.REFUSED})
    first.settle({places[2]: How.DISCARDED, places[0]: How.DISCARDED}, "it's of no use")
    found = letters().load(ALL)
    assert {place: settled.how for place, settled in found.items()} == {
        places[0]: How.REPLAYED, places[1]: How.REFUSED, places[2]: How.DISCARDED,
    }
    assert (found[places[2]].reason, found[places[0]].reason) == ("it's of no use", "")
    assert found[places[0]].at > 1_700_000_000
    assert letters().load({P: Bounds(6, 7)}).keys() == {places[1]}
    assert letters("another group").load(ALL) == {}
    first.forget({P: 6, Q: 0})
    assert letters().load(ALL).keys() == set(places[1:])


def test_one_at_a_time_has_the_right_and_the_others_are_told_who(letters: Letters) -> None:
    first, second = letters(), letters()
    assert [first.hold(), first.hold()] == [True, False]
    for attempt in (second.hold, lambda: second.settle({Place(P, 1, 1): How.DISCARDED}), lambda: second.forget({P: 1})):
        with pytest.raises(TryLater, match=rf"by process {os.getpid()} on \S+ \(since \d{{4}}-") as held:
            attempt()
        assert held.value.exit_code == 75
    assert second.load(ALL) == {}, "looking needs no right"
    letters("another group").hold()
    first.close()
    eventually(lambda: not _refused(second))


def test_a_lost_connection_loses_the_right_and_takes_it_again_when_it_is_free(letters: Letters, site: Site) -> None:
    first = letters()
    first.settle({Place(P, 1, 1): How.REPLAYED})
    assert first.hold()
    cut_off(site)
    with pytest.raises(Retryable):
        first.settle({Place(P, 2, 2): How.REPLAYED})
    first.settle({Place(P, 2, 2): How.REPLAYED})
    assert [first.hold(), first.hold()] == [True, False], "others may have settled letters in between"
    assert len(first.load(ALL)) == 2


def test_who_lost_the_right_to_another_process_settles_nothing_more(letters: Letters, site: Site) -> None:
    first, second = letters(), letters()
    first.hold()
    cut_off(site)
    second.hold()
    with pytest.raises(Retryable):
        first.hold()
    with pytest.raises(TryLater):
        first.settle({Place(P, 1, 1): How.REPLAYED})
    assert second.load(ALL) == {}


def test_the_schema_is_made_where_there_is_none(letters: Letters, site: Site) -> None:
    site.query("DROP SCHEMA cdc CASCADE")
    one = letters()
    assert one.load(ALL) == {}
    one.settle({Place(P, 1, 1): How.DISCARDED})
    assert len(letters().load(ALL)) == 1


def _refused(letters: PostgresLetters) -> bool:
    try:
        letters.hold()
    except TryLater:
        return True
    return False
