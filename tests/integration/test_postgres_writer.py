"""The writer on a real PostgreSQL: what goes wrong there, and what must not come of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from cdc_cli.apply import Version, tombstones
from cdc_cli.apply.merge import OnDelete
from cdc_cli.apply.session import Connector, Session
from cdc_cli.apply.tombstones import Tombstones
from cdc_cli.demo.servers import EmbeddedPostgres
from cdc_cli.errors import ConfigError, Denied, Retryable
from tests.support.changes import delete, poison, position, upsert
from tests.support.proxy import Proxy
from tests.support.waiting import eventually
from tests.support.writers import PARTITIONS, Site, total


@pytest.fixture
def site(postgres_dsn: str) -> Iterator[Site]:
    """One connection only, so that a test can look at what the writer's connection holds."""
    site = Site(postgres_dsn, maximum=1)
    site.claim()
    yield site
    site.close()


def on_the_connection(site: Site, sql: str) -> list[tuple[object, ...]]:
    with site.pool.session() as session:
        return session.query(sql)


@pytest.mark.requirement("R7.3", "R7.4", "R5.5")
def test_few_rows_go_through_a_prepared_statement_and_many_through_copy(site: Site) -> None:
    applier = site.applier(copy_threshold=100)
    prepared = "SELECT name FROM pg_prepared_statements ORDER BY name"
    staging = "SELECT to_regclass('pg_temp.cdc_staging') IS NOT NULL"
    assert applier.apply([upsert(f"k{at}", at) for at in range(100)], PARTITIONS).inserted == 100
    assert on_the_connection(site, prepared) == [("cdc_fence",), ("cdc_listed_1",)]
    assert on_the_connection(site, staging) == [(False,)]
    assert applier.apply([upsert("k0", 100)], PARTITIONS).updated == 1
    assert applier.apply([upsert(f"k{at}", at) for at in range(100, 201)], PARTITIONS).inserted == 101
    assert on_the_connection(site, prepared) == [("cdc_copied_1",), ("cdc_fence",), ("cdc_listed_1",)]
    assert on_the_connection(site, staging) == [(True,)]
    assert on_the_connection(site, "SELECT count(*) FROM pg_temp.cdc_staging") == [(0,)]


def test_few_large_documents_go_through_copy_too(site: Site) -> None:
    applier = site.applier(copy_threshold=100)
    half = "x" * (1 << 17)
    assert applier.apply([upsert("a", 1, text=half)], PARTITIONS).inserted == 1
    assert on_the_connection(site, "SELECT to_regclass('pg_temp.cdc_staging')") == [(None,)]
    assert applier.apply([upsert("a", 2, text=half), upsert("b", 2, text=half)], PARTITIONS).rows == 2
    assert on_the_connection(site, "SELECT to_regclass('pg_temp.cdc_staging') IS NOT NULL") == [(True,)]


def test_large_documents_are_the_same_after_their_way_in_pieces(site: Site) -> None:
    text = 'a\nb\t"\\😀' * 40_000
    changes = [upsert(f"k{at}", at, text=f"{at}{text}" if at % 3 else "small") for at in range(1, 20)]
    applier = site.applier()
    assert applier.apply(changes, PARTITIONS).inserted == 19
    assert applier.apply([change._replace(table="game.matches") for change in changes], PARTITIONS).inserted == 19
    for table in ("players", "matches"):
        assert dict(site.query(f"SELECT _id, document ->> 'text' FROM {table}")) == {
            f"k{at}": f"{at}{text}" if at % 3 else "small" for at in range(1, 20)
        }


def test_a_bad_document_among_large_ones_is_found_and_the_others_are_written(site: Site) -> None:
    large = [upsert(f"k{at}", at, text="x" * 400_000) for at in range(1, 8)]
    applied = site.applier().apply([*large[:4], poison("bad", 9), *large[4:]], PARTITIONS)
    assert [rejected.change.id for rejected in applied.rejected] == [b"bad"]
    assert (applied.inserted, site.query("SELECT count(*) FROM players")) == (7, [(7,)])


def test_keys_of_any_characters_are_written_found_again_and_deleted(site: Site) -> None:
    odd = ["", " ", ",", "{}", '"', "\\", '\\"', "NULL", "null",
           "a\nb\tc\r", "%s %(x)s", "'; --", "😀ä", "\\N", '{"a",b}']
    applier = site.applier()
    assert applier.apply([upsert(key, 1) for key in odd], PARTITIONS).inserted == len(odd)
    assert {key for (key,) in site.query("SELECT _id FROM players")} == set(odd)
    assert applier.apply([upsert(key, 1) for key in odd], PARTITIONS).stale == len(odd)
    assert applier.apply([upsert(key, 1) for key in odd], PARTITIONS).stale == len(odd), "by key alone"
    assert applier.apply([delete(key, 2) for key in odd], PARTITIONS).deleted == len(odd)
    assert site.query("SELECT _id FROM players") == []
    assert {key for (key,) in site.query("SELECT _id FROM cdc.tombstones")} == set(odd)


def test_the_writer_looks_ahead_while_most_is_stale(site: Site) -> None:
    applier = site.applier()
    batch = [upsert(f"k{at:03}", at) for at in range(200)]
    versions = [Version(*change[:4]) for change in batch]
    applier.apply(batch, PARTITIONS)
    assert not applier.looks_ahead
    applier.apply(batch, PARTITIONS)
    assert applier.looks_ahead
    assert applier.fresh(versions) == []
    applier.apply([upsert("new", 1)], PARTITIONS, left_out=200)
    assert applier.looks_ahead, "the batch was 200 stale ones and a new one"
    site.query("DROP TABLE players")
    assert list(applier.fresh(versions)) == list(range(200))
    assert applier.apply(batch, PARTITIONS).inserted == 200
    assert not applier.looks_ahead
    applier.apply(batch, PARTITIONS)
    newer = [version._replace(position=position(9999)) for version in versions]
    assert applier.fresh(newer) == list(range(200))
    assert not applier.looks_ahead


@pytest.mark.parametrize("on_delete", ["delete", "soft"])
@pytest.mark.requirement("R8.5")
def test_a_replay_sends_keys_first_and_only_the_documents_that_are_newer(site: Site, on_delete: OnDelete) -> None:
    applier = site.applier(on_delete=on_delete)
    first = [upsert(f"k{at:03}", at) for at in range(300)]
    applier.apply(first, PARTITIONS)
    gone = [delete(f"k{at:03}", 1000 + at) for at in range(10)]
    assert applier.apply(gone, PARTITIONS).deleted == 10
    assert applier.apply(first, PARTITIONS).stale == 300, "by the guard of the rows"
    site.query("ALTER TABLE players ADD CHECK (false) NOT VALID")  # the server refuses whatever reaches the upsert
    assert applier.apply(first, PARTITIONS).stale == 300
    site.query("ALTER TABLE players DROP CONSTRAINT players_check")
    assert ("cdc_fresh_1",) in on_the_connection(site, "SELECT name FROM pg_prepared_statements")
    mixed = [*first[:250], upsert("k007", 2000), upsert("k123", 2000), upsert("new", 1)]
    applied = applier.apply(mixed, PARTITIONS)
    assert (applied.inserted + applied.updated, applied.stale, total(applied)) == (3, 248, 253)
    newest = dict(site.query("SELECT _id, cdc_position FROM players WHERE _id IN ('k007', 'k123', 'new')"))
    expected = {"k007": position(2000), "k123": position(2000), "new": position(1)}
    assert newest == {id_: place.decode() for id_, place in expected.items()}
    alive = "cdc_deleted_at IS NULL" if on_delete == "soft" else "true"
    assert not site.query(f"SELECT 1 FROM players WHERE _id = 'k008' AND {alive}")


@pytest.mark.requirement("R7.1")
def test_the_session_waits_for_the_disk_and_for_nothing_else_without_end(site: Site) -> None:
    site.query(f'ALTER DATABASE "{site.dsn.rpartition("/")[2]}" SET synchronous_commit = off')
    other = Site(site.dsn)
    try:
        found = on_the_connection(
            other,
            "SELECT name, setting FROM pg_settings WHERE name IN ('synchronous_commit', 'statement_timeout', "
            "'lock_timeout', 'idle_in_transaction_session_timeout', 'TimeZone', 'application_name') ORDER BY 1",
        )
    finally:
        other.close()
    assert dict(found) == {
        "application_name": "cdc:test",
        "idle_in_transaction_session_timeout": "15000",
        "lock_timeout": "10000",
        "statement_timeout": "20000",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
    }


@pytest.mark.requirement("R12.5", "R4.4")
def test_rows_that_a_constraint_refuses_are_found_one_by_one(site: Site) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    site.query("ALTER TABLE players ADD CHECK ((document->>'at')::int % 40 <> 7)")
    applied = applier.apply([upsert(f"k{at:04}", at) for at in range(1000)], PARTITIONS)
    assert (applied.inserted, len(applied.rejected)) == (975, 25)
    (code,) = {rejected.error.code for rejected in applied.rejected}
    assert code == "postgres.23514"
    assert "k00" not in "".join(rejected.error.message for rejected in applied.rejected)


def test_a_batch_of_nothing_but_bad_rows_takes_a_bounded_number_of_passes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    sent: list[int] = []
    copy = Session.copy

    def counting(session: Session, sql: str, rows: Iterable[bytes]) -> int:
        lines = b"".join(rows)
        sent.append(lines.count(b"\n"))
        return copy(session, sql, [lines])

    monkeypatch.setattr(Session, "copy", counting)
    applied = applier.apply([poison(f"k{at}", at) for at in range(1, 513)], PARTITIONS)
    assert len(applied.rejected) == 512
    assert sum(sent) < 512 * 12


def test_text_that_postgresql_cannot_hold_is_refused_in_upserts_and_deletes(site: Site) -> None:
    bad = [b"a\0b", b"\xff\xfe", random.Random(1).randbytes(4000).hex().encode()]
    changes = [upsert("x", at)._replace(id=id_) for at, id_ in enumerate(bad, 1)]
    changes += [delete("x", at)._replace(id=id_ + b"!") for at, id_ in enumerate(bad, 1)]
    changes += [upsert("good", 1), delete("gone", 1)]
    applied = site.applier().apply(changes, PARTITIONS)
    assert total(applied) == len(changes)
    assert {rejected.change.id for rejected in applied.rejected} == {*bad, *(id_ + b"!" for id_ in bad)}
    assert (applied.inserted, applied.stale) == (1, 1)


def test_a_deep_document_is_refused_and_a_big_one_is_stored(site: Site) -> None:
    deep = upsert("deep", 1)._replace(document=b'{"a":' * 200_000 + b"1" + b"}" * 200_000)
    big = upsert("big", 2, text="x" * 15_000_000)
    applied = site.applier().apply([deep, big], PARTITIONS)
    assert [rejected.error.code for rejected in applied.rejected] == ["postgres.54001"]
    assert site.query("SELECT length(document->>'text') FROM players") == [(15_000_000,)]


@pytest.mark.requirement("R12.5", "R7.2")
@pytest.mark.parametrize("when", ["idle", "in a transaction"])
def test_a_connection_that_the_server_ended_is_replaced(site: Site, when: str) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'cdc:test'"
    if when == "idle":
        site.query(end)
    else:
        site.query(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END';"
            "CREATE TRIGGER stop BEFORE UPDATE ON players FOR EACH ROW EXECUTE FUNCTION stop()"
        )
        with pytest.raises(Retryable):
            applier.apply([upsert("a", 2)], PARTITIONS)
        site.query("DROP TRIGGER stop ON players")
    assert applier.apply([upsert("a", 2)], PARTITIONS).updated == 1
    assert site.pool.size == 1


@pytest.mark.requirement("R8.5", "R12.5")
def test_a_connection_lost_during_commit_is_redone_without_harm(
    postgres: EmbeddedPostgres, postgres_dsn: str, proxied: Callable[[int], Proxy], unique: str
) -> None:
    proxy = proxied(postgres.port)
    site = Site(postgres.dsn_for(unique, proxy.port))
    look = Site(postgres_dsn)
    try:
        look.claim()
        applier = site.applier()
        applier.apply([upsert("a", 1)], PARTITIONS)
        look.query(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN null; END';"
            "CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON players INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        waits = "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'advisory'"
        with look.pool.session() as holder, ThreadPoolExecutor(1) as background:
            holder.query("SELECT pg_advisory_lock(1)")
            writing = background.submit(applier.apply, [upsert("a", 2)], PARTITIONS)
            eventually(lambda: look.query(waits))
            proxy.reset()
            with pytest.raises(Retryable, match="could not write a batch"):
                writing.result(15)
            holder.query("SELECT pg_advisory_unlock(1)")
        eventually(lambda: look.query("SELECT cdc_position FROM players") == [(position(2).decode(),)])
        applied = applier.apply([upsert("a", 2)], PARTITIONS)
        assert (applied.rows, applied.stale) == (0, 1)
    finally:
        site.close()
        look.close()


@pytest.mark.requirement("R12.5")
def test_a_lock_that_somebody_holds_is_waited_for_and_then_asked_for_again(postgres_dsn: str) -> None:
    site = Site(postgres_dsn, statement_timeout=0.2)
    site.claim()
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    blocker = psycopg2.connect(postgres_dsn)
    try:
        blocker.cursor().execute("SELECT FROM players FOR UPDATE")
        with pytest.raises(Retryable, match=r"55P03|57014"):
            applier.apply([upsert("a", 2)], PARTITIONS)
        blocker.rollback()
        assert applier.apply([upsert("a", 2)], PARTITIONS).updated == 1
    finally:
        blocker.close()
        site.close()


@pytest.mark.requirement("R12.5")
def test_a_server_that_turned_read_only_is_waited_for(site: Site) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    on_the_connection(site, "SET default_transaction_read_only = on")
    with pytest.raises(Retryable, match="25006") as caught:
        applier.apply([upsert("a", 2)], PARTITIONS)
    assert "target_session_attrs" in caught.value.hint
    on_the_connection(site, "SET default_transaction_read_only = off")
    assert applier.apply([upsert("a", 2)], PARTITIONS).updated == 1


@pytest.mark.requirement("R7.1", "R12.5")
def test_what_a_failed_connect_asks_for_is_told_apart(postgres_dsn: str, proxied: Callable[[int], Proxy]) -> None:
    proxy = proxied(1)
    proxy.refuse()
    for dsn, kind in (
        (postgres_dsn.replace("postgres@", "nobody_here@"), Denied),
        (postgres_dsn + "_missing", ConfigError),
        (f"postgresql://postgres@{proxy.address}/game", Retryable),
    ):
        with pytest.raises(kind, match="could not connect to PostgreSQL at 127") as caught:
            Connector(dsn, "test", "public", 5.0)()
        assert caught.value.hint


def test_a_new_million_of_tombstones_does_not_slow_down_what_was_planned_before(site: Site) -> None:
    applier = site.applier(copy_threshold=1)
    applier.apply([upsert("a", 1), upsert("b", 1), delete("c", 1)], PARTITIONS)
    site.query("ALTER TABLE cdc.tombstones SET (autovacuum_enabled = off)")
    site.query(
        "INSERT INTO cdc.tombstones SELECT 1, g::text, 'string', '0', now() FROM generate_series(1, 200000) g"
    )
    read = "SELECT coalesce(idx_tup_read, 0) FROM pg_stat_user_indexes WHERE indexrelname = 'tombstones_pkey'"
    applied = applier.apply([upsert(str(at), at) for at in range(1, 1001)], PARTITIONS)
    assert applied.inserted == 1000
    site.close()
    eventually(lambda: not site.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'cdc:test'"))
    site.query("SELECT pg_stat_force_next_flush()")
    assert site.query(read)[0][0] < 10_000


@pytest.mark.requirement("R8.5")
def test_only_old_tombstones_are_purged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tombstones, "SLICE", 7)
    site.applier().apply([delete(f"k{at}", at) for at in range(50)], PARTITIONS)
    site.query("UPDATE cdc.tombstones SET deleted_at = now() - interval '2 days' WHERE _id < 'k3'")
    old = site.query("SELECT count(*) FROM cdc.tombstones WHERE _id < 'k3'")[0][0]
    purger = Tombstones(site.pool, retention=86400.0)
    assert purger.purge(datetime.now(UTC)) == old
    assert purger.purge(datetime.now(UTC)) == 0
    assert site.query("SELECT count(*) FROM cdc.tombstones") == [(50 - old,)]
    assert purger.purge(datetime.now(UTC) + timedelta(days=2)) == 50 - old


def test_statements_can_be_interrupted_from_another_thread(site: Site) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    blocker = psycopg2.connect(site.dsn)
    blocker.cursor().execute("LOCK TABLE players")
    waits = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cdc:test' AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as background:
        writing = background.submit(applier.apply, [upsert("a", 2)], PARTITIONS)
        eventually(lambda: site.query(waits))
        site.pool.interrupt()
        with pytest.raises(Retryable, match=r"connection|closed|lost"):
            writing.result(15)
    blocker.close()
