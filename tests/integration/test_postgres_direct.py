"""New rows that go straight into their table: the same rows and counts as through the staging table."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_cli import failpoints
from cdc_cli.apply import Applied, Applier, Change
from cdc_cli.apply.direct import Direct
from cdc_cli.apply.merge import OnDelete
from cdc_cli.apply.session import Session
from cdc_cli.errors import ConfigError, Retryable
from tests.support.changes import PLAYERS, delete, poison, upsert
from tests.support.writers import PARTITIONS, Site, total

MATCHES = "game.matches"
STRAIGHT, STAGED = "public.players", "pg_temp.cdc_staging"
Opens = Callable[..., Applier]
COLUMNS = "_id, _id_type, document::text, cdc_position, cdc_time::text"


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that COPY has filled, in order; `... failed` where it could not."""
    made: list[str] = []
    copy = Session.copy

    def watched(session: Session, sql: str, rows: Iterable[bytes]) -> int:
        table = sql.split()[1].replace('"', "")
        try:
            count = copy(session, sql, rows)
        except BaseException:
            made.append(f"{table} failed")
            raise
        made.append(table)
        return count

    monkeypatch.setattr(Session, "copy", watched)
    return made


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    yield failpoints.arm
    failpoints.arm("")


@pytest.fixture
def trusting(site: Site) -> Opens:
    """A writer that has seen nothing but inserts so far: one, of the id `first`, in each of the tables."""

    def make(*tables: str, **options: Any) -> Applier:
        applier = site.applier(**{"copy_threshold": 2, **options})
        first = [upsert("first", 1, table) for table in tables or [PLAYERS]]
        assert applier.apply(first, PARTITIONS).inserted == len(first)
        return applier

    return make


def apply(applier: Applier, changes: Sequence[Change]) -> Applied:
    applied = applier.apply(changes, PARTITIONS)
    assert total(applied) == len(changes)
    return applied


def new(count: int, at: int = 10, table: str = PLAYERS) -> list[Change]:
    return [upsert(f"k{number:04}", number, table) for number in range(at, at + count)]


@pytest.mark.requirement("R7.4", "R5.5")
def test_after_a_batch_of_inserts_the_next_one_never_sees_a_staging_table(postgres_dsn: str) -> None:
    site = Site(postgres_dsn, maximum=1)  # one connection, whose temporary tables can be looked at
    try:
        site.claim()
        applier = site.applier(copy_threshold=100)
        apply(applier, new(100))
        assert apply(applier, new(500, at=200)).inserted == 500
        with site.pool.session() as session:
            assert session.query("SELECT to_regclass('pg_temp.cdc_staging')") == [(None,)]
        assert site.query("SELECT count(*) FROM players") == [(600,)]
    finally:
        site.close()


def test_the_rows_are_those_of_the_staged_way_in_every_column(
    site: Site, trusting: Opens, copies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ["", " ", ",", '"', "\\", "NULL", "\\N", "\\.", "a\nb\tc\r", "%s", "😀ä", "Z", "z"]
    chance = random.Random(5)
    times = [0, 1, 999, 946_684_800_000, 951_782_399_999, 2**32 * 1000 - 1]
    times += [chance.randrange(2**32 * 1000) for _ in range(2000)]
    changes = [upsert(id_, 5, text=id_, id_type=kind) for id_ in odd for kind in ("string", "int")]
    changes += [upsert(f"t{at}", at)._replace(time_ms=time_ms) for at, time_ms in enumerate(times)]
    changes += [upsert("null", 1)._replace(document=b"null"), upsert("big", 1, text="x" * 3_000_000)]
    chance.shuffle(changes)
    matches = [change._replace(table=MATCHES) for change in changes]
    applier = trusting(PLAYERS, MATCHES)
    assert apply(applier, changes).inserted == len(changes)
    assert copies == [STRAIGHT]
    monkeypatch.setattr(Direct, "may_try", lambda *_: False)
    assert apply(applier, matches).inserted == len(changes)
    assert copies == [STRAIGHT, STAGED]
    rows = site.query(f"SELECT {COLUMNS} FROM players ORDER BY 1, 2")
    assert rows == site.query(f"SELECT {COLUMNS} FROM matches ORDER BY 1, 2")
    assert len(rows) == len(changes) + 1


def test_times_that_copy_would_round_otherwise_go_the_staged_way(
    site: Site, trusting: Opens, copies: list[str]
) -> None:
    far = [upsert(f"k{at}", at)._replace(time_ms=time_ms) for at, time_ms in enumerate([-1, 2**32 * 1000, 10**14])]
    assert apply(trusting(), far).inserted == 3
    assert copies == [STAGED]
    times = "SELECT extract(epoch FROM cdc_time)::float8 FROM players WHERE _id LIKE 'k%' ORDER BY _id"
    assert site.query(times) == [(-0.001,), (2.0**32,), (1e11,)]


def test_several_tables_are_filled_in_one_transaction_in_name_order(
    site: Site, trusting: Opens, copies: list[str]
) -> None:
    applier = trusting(PLAYERS, MATCHES)
    assert apply(applier, [*new(3), *new(4, table=MATCHES)]).inserted == 7
    assert copies == ["public.matches", STRAIGHT]
    writers = "SELECT DISTINCT xmin::text FROM {} WHERE _id LIKE 'k%'"
    (both,) = {tuple(site.query(writers.format(name))) for name in ("players", "matches")}
    assert len(both) == 1


@pytest.mark.requirement("R8.5")
def test_one_row_that_exists_sends_the_batch_the_staged_way_with_the_right_counts(
    site: Site, trusting: Opens, copies: list[str]
) -> None:
    applier = trusting(PLAYERS, MATCHES)
    mixed = [*new(4), upsert("first", 50), *new(4, table=MATCHES), upsert("first", 1, MATCHES)]
    applied = apply(applier, mixed)
    assert (applied.inserted, applied.updated, applied.stale) == (8, 1, 1)
    assert copies == ["public.matches failed", STAGED]
    assert site.query("SELECT document->>'at' FROM players WHERE _id = 'first'") == [("50",)]
    assert apply(applier, new(4, at=100)).inserted == 4
    assert copies[2:] == [STAGED], "it is careful after a failure"


@pytest.mark.requirement("R8.5")
@pytest.mark.parametrize("on_delete", ["delete", "soft"])
def test_an_insert_from_before_a_delete_stays_away(
    site: Site, trusting: Opens, copies: list[str], on_delete: OnDelete
) -> None:
    other = site.applier(on_delete=on_delete)
    apply(other, [upsert("dead", 5), delete("dead", 7), delete("never seen", 9)])
    applied = apply(trusting(on_delete=on_delete), [*new(3), upsert("dead", 5), upsert("never seen", 8)])
    assert (applied.inserted, applied.stale) == (3, 2)
    assert copies == [STAGED], "a tombstone is found before anything is copied"
    alive = "cdc_deleted_at IS NULL" if on_delete == "soft" else "true"
    assert site.query(f"SELECT count(*) FROM players WHERE {alive} AND _id LIKE 'k%'") == [(3,)]
    assert site.query(f"SELECT count(*) FROM players WHERE {alive} AND _id IN ('dead', 'never seen')") == [(0,)]


@pytest.mark.requirement("R8.5")
def test_a_row_that_is_marked_as_deleted_is_revived_only_by_what_is_newer(site: Site, trusting: Opens) -> None:
    """Also when the tombstone was purged: the marked row itself stands in the way."""
    applier = trusting(on_delete="soft")
    apply(applier, [upsert("a", 2), upsert("b", 2), delete("a", 9), delete("b", 9)])
    site.query("DELETE FROM cdc.tombstones")
    apply(applier, new(2, at=50))
    applied = apply(applier, [*new(3), upsert("a", 5), upsert("b", 10)])
    assert (applied.inserted, applied.updated, applied.stale) == (3, 1, 1)
    marked = "SELECT _id FROM players WHERE cdc_deleted_at IS NOT NULL"
    assert site.query(marked) == [("a",)]


def test_soft_deletes_and_columns_of_others_do_not_stand_in_the_way(
    site: Site, trusting: Opens, copies: list[str]
) -> None:
    applier = trusting(on_delete="soft")
    site.query("ALTER TABLE players ADD at int GENERATED ALWAYS AS ((document->>'at')::int) STORED")
    site.query("ALTER TABLE players ADD seen text NOT NULL DEFAULT 'just now', ADD number serial, ADD note text")
    assert apply(applier, new(3)).inserted == 3
    assert copies == [STRAIGHT]
    rows = "SELECT at, seen, number, note, cdc_deleted_at FROM players WHERE _id LIKE 'k%' ORDER BY _id"
    assert site.query(rows) == [(10 + at, "just now", 2 + at, None, None) for at in range(3)]


def test_deletes_that_are_ignored_do_not_stand_in_the_way(site: Site, trusting: Opens, copies: list[str]) -> None:
    applied = apply(trusting(on_delete="ignore"), [*new(3), delete("first", 99)])
    assert (applied.inserted, applied.ignored) == (3, 1)
    assert copies == [STRAIGHT]


def test_partitioned_tables_are_written_by_way_of_the_staging_table(site: Site, copies: list[str]) -> None:
    ours = '_id text COLLATE "C", _id_type text COLLATE "C", document jsonb, cdc_position text COLLATE "C"'
    site.query(
        f"CREATE TABLE players ({ours}, cdc_time timestamptz, PRIMARY KEY (_id, _id_type)) PARTITION BY HASH (_id);"
        "CREATE TABLE p0 PARTITION OF players FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE p1 PARTITION OF players FOR VALUES WITH (MODULUS 2, REMAINDER 1)"
    )
    applier = site.applier(copy_threshold=2)
    for start in (10, 20, 30):
        assert apply(applier, new(5, at=start)).inserted == 5
    assert copies == [STAGED] * 3


@pytest.mark.requirement("R12.5", "R4.4")
def test_of_a_batch_with_a_bad_document_only_that_one_is_refused(
    site: Site, trusting: Opens, copies: list[str]
) -> None:
    text = upsert("x", 9)._replace(id=b"\xff\xfe")
    applied = apply(trusting(), [*new(5), poison("bad", 5), poison("second", 6), upsert("second", 5), text])
    assert (applied.inserted, applied.merged) == (6, 0)
    assert {rejected.change.id for rejected in applied.rejected} == {b"bad", b"second", b"\xff\xfe"}
    assert copies[0] == f"{STRAIGHT} failed"
    assert copies.count(STRAIGHT) == 0
    assert site.query("SELECT document->>'at' FROM players WHERE _id = 'second'") == [("5",)]


def test_row_level_security_which_copy_does_not_know_sends_the_batch_the_staged_way(
    site: Site, unique: str, trusting: Opens, copies: list[str]
) -> None:
    trusting()
    site.query("ALTER TABLE players ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON players USING (true)")
    site.query(
        f"CREATE ROLE {unique} LOGIN; GRANT CREATE ON SCHEMA public TO {unique};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA public, cdc TO {unique}; GRANT USAGE ON SCHEMA cdc TO {unique}"
    )
    other = Site(site.dsn.replace("postgres@", f"{unique}@"))
    try:
        other.claims = site.claims
        applier = other.applier(copy_threshold=2)
        assert apply(applier, new(1)).inserted == 1
        assert apply(applier, new(5, at=20)).inserted == 5
        assert copies == [f"{STRAIGHT} failed", STAGED]
    finally:
        other.close()
        site.query(f"DROP OWNED BY {unique}; DROP ROLE {unique}")


def test_rows_that_a_trigger_drops_count_as_stale_and_its_refusals_as_poison(
    site: Site, trusting: Opens, copies: list[str]
) -> None:
    applier = trusting()
    site.query(
        "CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF new._id = 'bad' THEN RAISE EXCEPTION 'no'; END IF; RETURN CASE WHEN new._id < 'k0012' THEN new END; END $$;"
        "CREATE TRIGGER pick BEFORE INSERT ON players FOR EACH ROW EXECUTE FUNCTION pick()"
    )
    applied = apply(applier, new(5))
    assert (applied.inserted, applied.stale) == (2, 3)
    assert copies == [STRAIGHT]
    apply(applier, [upsert("a", 1)])
    applied = apply(applier, [*new(3, at=1), upsert("bad", 1)])
    assert (applied.inserted, len(applied.rejected)) == (3, 1)
    assert copies[1] == f"{STRAIGHT} failed"


def test_a_table_whose_key_was_taken_away_is_not_filled_with_doubles(site: Site, trusting: Opens) -> None:
    applier = trusting()
    site.query("ALTER TABLE players DROP CONSTRAINT players_pkey")
    with pytest.raises(ConfigError, match="42P10"):
        applier.apply([upsert("first", 1), *new(3)], PARTITIONS)
    assert site.query("SELECT _id FROM players") == [("first",)]


def test_a_table_that_was_dropped_is_made_anew(site: Site, trusting: Opens, copies: list[str]) -> None:
    applier = trusting()
    site.query("DROP TABLE players")
    assert apply(applier, new(3)).inserted == 3
    assert copies == [STRAIGHT]


def test_the_look_for_tombstones_fires_no_trigger(site: Site, trusting: Opens, copies: list[str]) -> None:
    applier = trusting()
    site.query(
        "CREATE SEQUENCE fired; CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM nextval('fired'); RETURN NULL; END $$;"
        "CREATE TRIGGER fire AFTER INSERT ON players EXECUTE FUNCTION fire()"
    )
    assert apply(applier, new(3)).inserted == 3
    assert copies == [STRAIGHT]
    assert site.query("SELECT last_value, is_called FROM fired") == [(1, True)]


def test_a_replay_fills_an_empty_table_straight_too(site: Site, trusting: Opens, copies: list[str]) -> None:
    live = trusting()
    replay = site.applier("replay", exclusive=True, copy_threshold=2)
    assert replay.apply(new(2, at=5), []).inserted == 2
    assert replay.apply(new(5), []).inserted == 5
    assert copies == [STRAIGHT]
    applied = apply(live, new(6))
    assert (applied.inserted, applied.stale) == (1, 5)


@pytest.mark.requirement("R12.5")
@pytest.mark.parametrize("point", ["before_begin", "after_begin", "before_commit", "after_commit"])
def test_a_batch_that_stopped_on_its_way_is_simply_written_again(
    trusting: Opens, copies: list[str], armed: Callable[[str], None], point: str
) -> None:
    applier = trusting()
    armed(f"apply.{point}:fail")
    with pytest.raises(Retryable, match=f"failpoint apply.{point}"):
        applier.apply(new(5), PARTITIONS)
    assert copies == ([STRAIGHT] if point.endswith("commit") else [])
    applied = apply(applier, new(5))
    assert (applied.inserted, applied.stale) == ((0, 5) if point == "after_commit" else (5, 0))


def test_writers_of_the_same_new_keys_at_once_end_right_and_without_a_deadlock(
    site: Site, copies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four lanes with the same documents, which there never are, and each tries every time: so that they do meet."""
    monkeypatch.setattr(Direct, "may_try", lambda *_: True)
    start = Barrier(4)

    def keys(writer: int, number: int) -> list[str]:
        return random.Random(f"{writer} {number}").sample([f"{number}-{at}" for at in range(300)], 150)

    def work(writer: int) -> list[Applied]:
        applier, done = site.applier(copy_threshold=50), []
        try:
            for number in range(25):
                start.wait(30)
                done.append(apply(applier, [upsert(key, 10 * number + writer) for key in keys(writer, number)]))
        except BaseException:
            start.abort()  # nobody shall wait for this one
            raise
        return done

    with ThreadPoolExecutor(4) as threads:
        done = [applied for each in threads.map(work, range(4)) for applied in each]
    assert not any(applied.rejected for applied in done)
    assert {STRAIGHT, f"{STRAIGHT} failed", STAGED} <= set(copies)
    assert site.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    newest = {key: 10 * number + writer for number in range(25) for writer in range(4) for key in keys(writer, number)}
    assert dict(site.query("SELECT _id, (document->>'at')::int FROM players")) == newest
    assert sum(applied.inserted for applied in done) == len(newest)


ids = st.sampled_from("abcdefghij")
changes = st.one_of(
    st.builds(lambda number: upsert(f"n{number}", number), st.integers(1, 60)),
    st.builds(lambda number: upsert(f"n{number}", number), st.integers(1, 60)),
    st.builds(upsert, ids, st.integers(1, 30), st.sampled_from([PLAYERS, MATCHES])),
    st.builds(delete, ids, st.integers(1, 30)),
    st.builds(poison, ids, st.integers(1, 30)),
)


@given(batches=st.lists(st.lists(changes, min_size=1, max_size=12), min_size=2, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batches_give_the_same_rows_and_counts_whether_straight_or_staged(
    site: Site, copies: list[str], batches: list[list[Change]]
) -> None:
    outcomes = []
    for allowed in (True, False):
        site.query("DROP TABLE IF EXISTS players, matches; TRUNCATE cdc.tombstones, cdc.tables")
        applier = site.applier(copy_threshold=1)
        copies.clear()
        with pytest.MonkeyPatch.context() as patch:
            if not allowed:
                patch.setattr(Direct, "may_try", lambda *_: False)
            counts = [_counts(apply(applier, batch)) for batch in batches]
        assert allowed or not any(STRAIGHT in table for table in copies)
        rows = []
        for table in ("players", "matches"):
            if site.query("SELECT to_regclass(%s)", table) != [(None,)]:
                rows += site.query(f"SELECT {COLUMNS} FROM {table} ORDER BY 1, 2")
        tombstones = site.query("SELECT _id, _id_type, position FROM cdc.tombstones ORDER BY 1, 2, 3")
        outcomes.append((counts, rows, tombstones))
    assert outcomes[0] == outcomes[1]


def _counts(applied: Applied) -> tuple[Any, ...]:
    refused = sorted((rejected.change.id, rejected.error.code) for rejected in applied.rejected)
    return (
        applied.inserted, applied.updated, applied.deleted, applied.stale, applied.merged, applied.ignored, refused
    )
