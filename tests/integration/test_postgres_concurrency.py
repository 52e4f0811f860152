"""Many writers at once: the fence, the ledger, and no deadlocks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg2
import pytest

from cdc_cli.apply import Applied, Applier, Change, Fenced
from cdc_cli.consume import Partition
from cdc_cli.errors import Retryable
from tests.support.changes import PLAYERS, delete, upsert
from tests.support.waiting import eventually
from tests.support.writers import PARTITIONS, Site

SOME = sorted(PARTITIONS)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name = 'cdc:test' AND wait_event_type = 'Lock'"
)


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


class Blocker:
    """Somebody else who holds a row, so that a batch stops in its middle until `release`."""

    def __init__(self, site: Site) -> None:
        self.connection = psycopg2.connect(site.dsn)
        self.connection.cursor().execute("SELECT FROM players FOR UPDATE")

    def release(self) -> None:
        self.connection.close()


def waiting(site: Site, number: int) -> None:
    """Until so many sessions wait for a lock."""
    eventually(lambda: site.query(WAITING) == [(number,)])


def test_a_new_owner_waits_for_the_batch_under_way_and_then_the_old_one_is_fenced(
    site: Site, background: ThreadPoolExecutor
) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    blocker = Blocker(site)
    batch = background.submit(applier.apply, [upsert("a", 2)], PARTITIONS)
    waiting(site, 1)
    claim = background.submit(site.ledger("new").claim, [SOME[0]])
    waiting(site, 2)
    late = background.submit(applier.apply, [upsert("b", 3)], [SOME[0]])
    waiting(site, 3)
    assert not claim.done()
    blocker.release()
    assert batch.result(10).updated == 1
    claim.result(10)
    with pytest.raises(Fenced):
        late.result(10)
    assert site.query("SELECT _id FROM players") == [("a",)]


def test_a_claim_gives_up_on_a_batch_that_never_ends(postgres_dsn: str, background: ThreadPoolExecutor) -> None:
    patient, hasty = Site(postgres_dsn), Site(postgres_dsn, statement_timeout=0.2)
    try:
        patient.claim()
        applier = patient.applier()
        applier.apply([upsert("a", 1)], PARTITIONS)
        blocker = Blocker(patient)
        batch = background.submit(applier.apply, [upsert("a", 2)], PARTITIONS)
        waiting(patient, 1)
        with pytest.raises(Retryable, match=r"claim 1 partitions.*(55P03|57014)"):
            hasty.ledger("new").claim([SOME[0]])
        blocker.release()
        assert batch.result(10).updated == 1
        assert patient.ledger().claim([SOME[0]]) == {}
    finally:
        patient.close()
        hasty.close()


def test_offsets_are_stored_beside_a_batch_under_way(site: Site, background: ThreadPoolExecutor) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    blocker = Blocker(site)
    batch = background.submit(applier.apply, [upsert("a", 2)], PARTITIONS)
    waiting(site, 1)
    site.ledger().store(dict.fromkeys(PARTITIONS, 5))
    assert not batch.done()
    blocker.release()
    batch.result(10)


def test_a_replay_and_the_live_writers_take_turns_on_a_table(site: Site, background: ThreadPoolExecutor) -> None:
    live, replay = site.applier(), site.applier("replay", exclusive=True)
    live.apply([upsert("a", 1), upsert("m", 1, "game.matches")], PARTITIONS)
    blocker = Blocker(site)
    running = background.submit(live.apply, [upsert("a", 2)], PARTITIONS)
    waiting(site, 1)
    other = background.submit(live.apply, [upsert("b", 3)], PARTITIONS)
    assert other.result(10).inserted == 1
    old = background.submit(replay.apply, [upsert("c", 1)], [])
    waiting(site, 2)
    assert replay.apply([upsert("n", 1, "game.matches")], []).inserted == 1
    assert not old.done()
    blocker.release()
    assert running.result(10).updated == 1
    assert old.result(10).inserted == 1


@pytest.mark.requirement("R6.5", "R8.5")
def test_many_threads_and_a_replay_end_in_the_fold_of_the_history_without_a_deadlock(
    site: Site, background: ThreadPoolExecutor
) -> None:
    """Four live lanes with keys of their own, and two replays of everything, each event delivered twice or more."""
    chance = random.Random(20)
    history = _history(chance, keys=300, events=6000)
    live, replay = site.applier(copy_threshold=30), site.applier("replay", exclusive=True, copy_threshold=30)
    lanes: list[list[Change]] = [[], [], [], []]
    for change in history:
        lanes[int(change.id) % 4].append(change)
    work: list[Future[list[Applied]]] = []
    for lane in lanes:
        batches = [lane[at : at + chance.randint(5, 200)] for at in range(0, len(lane), 5 + chance.randint(0, 20))]
        work.append(background.submit(_apply_all, live, [*batches, lane], PARTITIONS))
    for _ in range(2):
        shuffled = chance.sample(history, len(history))
        batches = [shuffled[at : at + 150] for at in range(0, len(history), 150)]
        work.append(background.submit(_apply_all, replay, batches, frozenset()))
    for future in work:
        assert all(not applied.rejected for applied in future.result(120))
    for table in (PLAYERS, "game.matches"):
        rows = site.query(f"SELECT _id, cdc_position FROM {table.partition('.')[2]}")
        assert dict(rows) == _fold(history, table)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert site.query(deadlocks) == [(0,)]


def _history(chance: random.Random, keys: int, events: int) -> list[Change]:
    tables = [PLAYERS, "game.matches"]
    return [
        (upsert if chance.random() < 0.7 else delete)(str(chance.randrange(keys)), at, chance.choice(tables))
        for at in range(1, events + 1)
    ]


def _fold(history: list[Change], table: str) -> dict[str, str]:
    final = {change.id.decode(): change for change in history if change.table == table}
    return {id_: change.position.decode() for id_, change in final.items() if change.document is not None}


def _apply_all(
    applier: Applier, batches: list[list[Change]], partitions: frozenset[Partition]
) -> list[Applied]:
    return [applier.apply(batch, partitions) for batch in batches]


def test_upserts_of_the_same_keys_by_many_writers_do_not_deadlock(
    site: Site, background: ThreadPoolExecutor
) -> None:
    chance = random.Random(21)
    work = []
    for writer in range(4):
        at = range(writer, 4000, 4)
        changes = [upsert(str(chance.randrange(500)), 1 + number) for number in at]
        batches = [changes[start : start + 100] for start in range(0, len(changes), 100)]
        work.append(background.submit(_apply_all, site.applier(copy_threshold=50), batches, PARTITIONS))
    for future in work:
        future.result(60)


@pytest.mark.requirement("R7.2")
def test_no_more_transactions_run_at_once_than_allowed(site: Site, background: ThreadPoolExecutor) -> None:
    applier = site.applier(max_writes=2)
    applier.apply([upsert("a", 1)], PARTITIONS)
    blocker = Blocker(site)
    work = [background.submit(applier.apply, [upsert("a", at)], PARTITIONS) for at in range(2, 6)]
    waiting(site, 2)
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cdc:test' AND state <> 'idle'"
    assert site.query(running) == [(2,)]
    blocker.release()
    assert sum(future.result(10).rows for future in work) >= 1
    assert site.query("SELECT document->>'at' FROM players") == [("5",)]


def test_stored_offsets_of_the_former_owner_come_after_the_claim_or_not_at_all(
    site: Site, background: ThreadPoolExecutor
) -> None:
    """Claims and stores of two owners, interleaved at random: an owner always finds what was last stored."""
    ledgers = [site.ledger("one"), site.ledger("two")]

    def work(ledger_at: int) -> int:
        ledger, stored = ledgers[ledger_at], 0
        for _ in range(60):
            offsets = ledger.claim(PARTITIONS)
            wanted = {partition: offsets.get(partition, 0) + 1 for partition in PARTITIONS}
            try:
                ledger.store(wanted)
            except Fenced:
                continue
            stored += 1
        return stored

    counts = [future.result(60) for future in [background.submit(work, at) for at in (0, 1)]]
    assert site.ledger("end").claim(PARTITIONS) == dict.fromkeys(PARTITIONS, sum(counts))
