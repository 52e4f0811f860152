"""One suite for every Applier and Ledger: in memory, and in PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_cli.apply import Applied, Applier, Change, Fenced, Ledger, Version
from cdc_cli.apply.merge import OnDelete
from cdc_cli.consume import Partition
from cdc_cli.errors import PositionLost
from tests.support.changes import PLAYERS, delete, poison, position, upsert
from tests.support.fakes_apply import FakeApplier, FakeLedger, Memory
from tests.support.writers import GROUP, PARTITIONS, Site, total

SOME = sorted(PARTITIONS)


class Stored(NamedTuple):
    document: Any
    position: bytes
    deleted: bool = False


Table = dict[tuple[str, str], Stored]


class Place(Protocol):
    """Where writers of one kind write to: opens any number of them, and shows the rows."""

    def ledger(self, owner: str) -> Ledger: ...
    def applier(self, owner: str, exclusive: bool = False, on_delete: OnDelete = "delete") -> Applier: ...
    def rows(self, table: str = PLAYERS) -> Table: ...


class MemoryPlace:
    def __init__(self) -> None:
        self.memory = Memory()

    def ledger(self, owner: str) -> Ledger:
        return FakeLedger(self.memory, GROUP, owner)

    def applier(self, owner: str, exclusive: bool = False, on_delete: OnDelete = "delete") -> Applier:
        return FakeApplier(FakeLedger(self.memory, GROUP, owner), on_delete)

    def rows(self, table: str = PLAYERS) -> Table:
        rows = self.memory.rows.items()
        return {
            (id_.decode(), id_type): Stored(row.document, row.position, row.deleted)
            for (name, id_type, id_), row in rows
            if name == table
        }


class PostgresPlace:
    """The threshold is low, so that short batches go through COPY too."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.soft = False

    def ledger(self, owner: str) -> Ledger:
        return self.site.ledger(owner)

    def applier(self, owner: str, exclusive: bool = False, on_delete: OnDelete = "delete") -> Applier:
        self.soft = on_delete == "soft"
        return self.site.applier(owner, exclusive=exclusive, on_delete=on_delete, copy_threshold=2)

    def rows(self, table: str = PLAYERS) -> Table:
        name = table.split(".", 1)[1]
        if self.site.query("SELECT to_regclass(%s)", f'public."{name}"') == [(None,)]:
            return {}
        deleted = "cdc_deleted_at IS NOT NULL" if self.soft else "false"
        columns = f"_id, _id_type, document, cdc_position, {deleted}"
        rows = self.site.query(f'SELECT {columns} FROM public."{name}"')
        return {
            (id_, id_type): Stored(document, at.encode(), gone) for id_, id_type, document, at, gone in rows
        }


@pytest.fixture(params=["memory", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    site = Site(request.getfixturevalue("postgres_dsn"))
    yield PostgresPlace(site)
    site.close()


def owning(place: Place, on_delete: OnDelete = "delete") -> Applier:
    """A writer that owns the partitions."""
    place.ledger("me").claim(PARTITIONS)
    return place.applier("me", on_delete=on_delete)


def apply(applier: Applier, *changes: Change) -> Applied:
    applied = applier.apply(changes, PARTITIONS)
    assert total(applied) == len(changes)
    return applied


@pytest.mark.requirement("R8.4", "R8.1")
def test_what_was_inserted_and_what_was_updated_is_told_apart(place: Place) -> None:
    applier = owning(place)
    apply(applier, upsert("a", 1))
    applied = apply(applier, upsert("a", 2), upsert("b", 3), upsert("c", 4), upsert("d", 5))
    assert (applied.inserted, applied.updated, applied.rows) == (3, 1, 4)
    assert place.rows()["a", "string"] == Stored({"_id": "a", "at": 2}, position(2))


@pytest.mark.requirement("R8.2", "R8.5")
def test_the_same_batch_again_changes_nothing(place: Place) -> None:
    applier = owning(place)
    batch = [upsert("a", 1), upsert("b", 2), delete("b", 3), upsert("c", 4), upsert("d", 5), upsert("a", 6)]
    apply(applier, *batch)
    before = place.rows()
    assert set(before) == {("a", "string"), ("c", "string"), ("d", "string")}
    applied = apply(applier, *batch)
    assert (applied.rows, applied.stale, applied.merged) == (0, 4, 2)
    assert place.rows() == before


@pytest.mark.requirement("R8.2")
def test_an_older_change_never_overwrites_a_newer_one(place: Place) -> None:
    applier = owning(place)
    apply(applier, upsert("a", 5))
    assert apply(applier, upsert("a", 4)).stale == 1
    assert place.rows()["a", "string"].document["at"] == 5


@pytest.mark.requirement("R8.5")
def test_an_insert_from_before_the_delete_does_not_raise_the_dead(place: Place) -> None:
    applier = owning(place)
    apply(applier, upsert("a", 1))
    assert apply(applier, delete("a", 3)).deleted == 1
    assert apply(applier, upsert("a", 1), upsert("a", 2)).stale == 1
    assert place.rows() == {}
    assert apply(applier, upsert("a", 4)).inserted == 1
    assert apply(applier, delete("a", 3)).stale == 1
    assert set(place.rows()) == {("a", "string")}


@pytest.mark.requirement("R8.5")
def test_an_older_delete_takes_nothing_back_from_a_newer_one(place: Place) -> None:
    applier = owning(place)
    for at in (5, 2):
        apply(applier, delete("a", at))
    assert apply(applier, upsert("a", 4)).stale == 1
    assert place.rows() == {}


@pytest.mark.requirement("R8.5")
def test_what_is_not_known_to_be_stale_is_told_and_what_is_left_out_is_counted(place: Place) -> None:
    applier = owning(place)
    apply(applier, upsert("a", 5), upsert("b", 5), upsert("gone", 2), upsert("a", 5, table="game.matches"))
    apply(applier, delete("gone", 5))
    changes = [
        *(upsert(name, at) for name in ("a", "gone", "new") for at in (4, 5, 6)),
        *(upsert("a", at, table="game.matches") for at in (5, 6)),
        upsert("a", 1, table="game.never_seen"),
    ]
    versions = [None, *(Version(*change[:4]) for change in changes)]
    assert list(applier.fresh(versions)) == [0, 3, 6, 7, 8, 9, 11, 12]
    assert list(applier.fresh([])) == []
    assert applier.apply([upsert("a", 6)], PARTITIONS, left_out=3).stale == 3


def test_a_delete_that_comes_before_its_document_keeps_it_out(place: Place) -> None:
    applier = owning(place)
    assert apply(applier, delete("a", 3)).stale == 1
    assert apply(applier, upsert("a", 2)).stale == 1
    assert place.rows() == {}


@pytest.mark.requirement("R8.3")
def test_ids_that_read_alike_but_differ_in_type_have_rows_of_their_own(place: Place) -> None:
    changes = [upsert("1", 1, id_type="int"), upsert("1", 2, id_type="string"), delete("1", 3, id_type="x")]
    apply(owning(place), *changes)
    assert set(place.rows()) == {("1", "int"), ("1", "string")}


def test_each_collection_has_its_table(place: Place) -> None:
    apply(owning(place), upsert("a", 1, "game.matches"), upsert("a", 2), delete("b", 3, "game.matches"))
    assert place.rows("game.matches")["a", "string"].document["at"] == 1
    assert place.rows(PLAYERS)["a", "string"].document["at"] == 2


def test_odd_ids_arrive_as_they_are(place: Place) -> None:
    odd = ["", "\\", "\t\n\r", "\\.", "\\N", '"{},', "'; --", "%s", "é€𝄞", " a "]
    applier = owning(place)
    for batch in (odd[:2], odd):
        apply(applier, *(upsert(id_, at) for at, id_ in enumerate(batch, 1)))
    assert {id_ for id_, _ in place.rows()} == set(odd)
    apply(applier, *(delete(id_, 99) for id_ in odd))
    assert place.rows() == {}


@pytest.mark.requirement("R4.4", "R12.5")
def test_what_cannot_be_stored_is_reported_and_all_else_is_written(place: Place) -> None:
    changes = [upsert(f"k{at:03}", at) for at in range(1, 40)]
    bad = [poison(f"bad{at}", at) for at in (40, 41, 42)]
    applied = apply(owning(place), *bad[:1], *changes[:20], *bad[1:], *changes[20:])
    assert sorted(rejected.change for rejected in applied.rejected) == bad
    assert all(rejected.error.code for rejected in applied.rejected)
    assert applied.inserted == len(place.rows()) == 39


def test_one_change_alone_that_cannot_be_stored_is_reported(place: Place) -> None:
    applied = apply(owning(place), poison("a", 1))
    assert [rejected.change for rejected in applied.rejected] == [poison("a", 1)]


def test_when_the_newest_change_cannot_be_stored_the_one_before_is_written(place: Place) -> None:
    applier = owning(place)
    applied = apply(applier, upsert("a", 1), poison("a", 4), upsert("a", 2), poison("a", 3), upsert("b", 5))
    assert len(applied.rejected) == 2
    assert (applied.inserted, applied.merged) == (2, 1)
    assert place.rows()["a", "string"] == Stored({"_id": "a", "at": 2}, position(2))


def test_nothing_is_written_for_a_partition_that_is_not_owned(place: Place) -> None:
    applier = owning(place)
    place.ledger("other").claim([SOME[1]])
    with pytest.raises(Fenced) as caught:
        applier.apply([upsert("a", 1)], PARTITIONS)
    assert caught.value.partitions == {SOME[1]}
    assert place.rows() == {}
    assert applier.apply([upsert("a", 1)], [SOME[0], SOME[2]]).inserted == 1


def test_a_partition_that_nobody_claimed_is_fenced(place: Place) -> None:
    with pytest.raises(Fenced):
        place.applier("me").apply([upsert("a", 1)], PARTITIONS)


def test_a_replay_needs_no_partitions_and_obeys_the_guard(place: Place) -> None:
    apply(owning(place), upsert("a", 2), delete("b", 3), upsert("c", 4))
    replay = place.applier("replay", exclusive=True)
    applied = replay.apply([upsert("a", 1), upsert("b", 1), upsert("d", 1)], [])
    assert (applied.stale, applied.inserted) == (2, 1)


def test_the_ledger_gives_back_what_was_stored_and_nothing_else(place: Place) -> None:
    ledger = place.ledger("me")
    assert ledger.claim(PARTITIONS) == {}
    ledger.store({SOME[0]: 7, SOME[1]: 0})
    ledger.store({SOME[0]: 2**40})
    ledger.store({})
    assert place.ledger("other").claim(PARTITIONS) == {SOME[0]: 2**40, SOME[1]: 0}
    assert place.ledger("other").claim([]) == {}
    assert place.ledger("other").claim([Partition("new", 0)]) == {}


def test_the_former_owner_can_store_no_offset_any_more(place: Place) -> None:
    ledger = place.ledger("me")
    ledger.claim(PARTITIONS)
    ledger.store(dict.fromkeys(PARTITIONS, 5))
    place.ledger("other").claim([SOME[0]])
    with pytest.raises(Fenced) as caught:
        ledger.store(dict.fromkeys(PARTITIONS, 9))
    assert caught.value.partitions == {SOME[0]}
    assert place.ledger("third").claim(PARTITIONS) == dict.fromkeys(PARTITIONS, 5)


def test_an_offset_of_another_topic_of_the_same_name_is_refused_and_nothing_is_claimed(place: Place) -> None:
    ledger = place.ledger("me")
    ledger.claim([SOME[0]], {"topic": "A"})
    ledger.store({SOME[0]: 5})
    with pytest.raises(PositionLost, match=r"A.*B"):
        place.ledger("other").claim(PARTITIONS, {"topic": "B"})
    ledger.store({SOME[0]: 6})
    assert place.ledger("other").claim([SOME[0]]) == {SOME[0]: 6}
    assert place.ledger("other").claim(PARTITIONS, {"topic": "A"}) == {SOME[0]: 6}


def test_a_partition_of_which_nothing_was_stored_takes_the_topic_as_it_is(place: Place) -> None:
    place.ledger("me").claim(PARTITIONS, {"topic": "A"})
    ledger = place.ledger("me")
    assert ledger.claim(PARTITIONS, {"topic": "B"}) == {}
    ledger.store({SOME[0]: 5})
    assert place.ledger("other").claim(PARTITIONS, {"topic": "B"}) == {SOME[0]: 5}


def test_looking_after_claims_notices_another_owner_without_anything_to_store(place: Place) -> None:
    ledger = place.ledger("me")
    ledger.claim(PARTITIONS)
    ledger.verify(PARTITIONS)
    ledger.verify([])
    place.ledger("other").claim([SOME[0]])
    with pytest.raises(Fenced) as caught:
        ledger.verify(PARTITIONS)
    assert caught.value.partitions == {SOME[0]}


def test_soft_deletes_keep_the_row_and_a_newer_document_clears_the_mark(place: Place) -> None:
    applier = owning(place, "soft")
    apply(applier, upsert("a", 1))
    applied = apply(applier, delete("a", 3), upsert("b", 4), delete("b", 6), upsert("b", 5))
    assert (applied.deleted, applied.inserted, applied.merged) == (2, 1, 1)
    assert place.rows() == {
        ("a", "string"): Stored({"_id": "a", "at": 1}, position(3), deleted=True),
        ("b", "string"): Stored({"_id": "b", "at": 5}, position(6), deleted=True),
    }
    assert apply(applier, delete("a", 3), upsert("a", 2)).rows == 0
    apply(applier, upsert("a", 7))
    assert place.rows()["a", "string"] == Stored({"_id": "a", "at": 7}, position(7))


def test_ignored_deletes_leave_the_row_and_are_counted(place: Place) -> None:
    applier = owning(place, "ignore")
    assert apply(applier, upsert("a", 1), delete("a", 2)).ignored == 1
    assert apply(applier, delete("a", 3)).ignored == 1
    assert set(place.rows()) == {("a", "string")}


_EVENTS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12)
_PREFIXES = itertools.count()


@pytest.mark.requirement("R8.5", "R8.2", "R5.5")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=_EVENTS, data=st.data())
def test_any_order_repetition_and_batching_ends_in_the_fold_of_the_history(
    place: Place, events: list[tuple[int, bool]], data: st.DataObject
) -> None:
    prefix = f"{next(_PREFIXES)}:"
    history = [
        (upsert if document else delete)(f"{prefix}{key}", at) for at, (key, document) in enumerate(events, 1)
    ]
    place.ledger("me").claim(PARTITIONS)
    live, replay = place.applier("me"), place.applier("replay", exclusive=True)
    writers = [(live, PARTITIONS), (replay, frozenset[Partition]())]
    for batch in data.draw(_deliveries(len(history))):
        applier, partitions = writers[data.draw(st.integers(0, 1))]
        assert total(applier.apply([history[at] for at in batch], partitions)) == len(batch)
    found = {id_: row.position for (id_, _), row in place.rows().items() if id_.startswith(prefix)}
    assert found == _fold(history)


def _deliveries(size: int) -> st.SearchStrategy[list[list[int]]]:
    """Batches of event numbers, in any order, each at least once."""
    every = st.permutations(range(size))
    again = st.lists(st.integers(0, size - 1), max_size=size)
    lengths = st.lists(st.integers(1, 6), min_size=2 * size, max_size=2 * size)
    return st.builds(_cut, st.builds(lambda a, b: [*a, *b], every, again).flatmap(st.permutations), lengths)


def _cut(numbers: Sequence[int], lengths: list[int]) -> list[list[int]]:
    queue = iter(numbers)
    batches = [list(itertools.islice(queue, length)) for length in lengths]
    return [batch for batch in batches if batch]


def _fold(history: list[Change]) -> dict[str, bytes]:
    final = {change.id.decode(): change for change in history}
    return {id_: change.position for id_, change in final.items() if change.document is not None}
