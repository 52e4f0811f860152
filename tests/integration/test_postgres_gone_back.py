"""PostgreSQL that is not what it was: nothing is written under an old claim, and the next claim finds its offsets."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from cdc_cli.apply import Fenced, Rewound
from cdc_cli.demo.servers import EmbeddedPostgres
from cdc_cli.errors import Retryable
from tests.support.changes import upsert
from tests.support.fixtures import started
from tests.support.writers import PARTITIONS, Site

SOME = sorted(PARTITIONS)


@pytest.fixture
def site(postgres_dsn: str) -> Iterator[Site]:
    site = Site(postgres_dsn)
    site.ledger().claim(PARTITIONS)
    site.ledger().store(dict.fromkeys(PARTITIONS, 5))
    yield site
    site.close()


def test_an_offset_lower_than_the_one_stored_last_shows_that_the_database_went_back(site: Site) -> None:
    site.query("UPDATE cdc.offsets SET next_offset = 4 WHERE partition = 1")
    with pytest.raises(Rewound) as caught:
        site.ledger().store({SOME[1]: 9})
    assert caught.value.partitions == PARTITIONS
    with pytest.raises(Rewound):
        site.ledger().verify(PARTITIONS)
    assert site.ledger().claim(PARTITIONS) == {SOME[0]: 5, SOME[1]: 4, SOME[2]: 5}
    site.ledger().store({SOME[1]: 9})
    assert site.query("SELECT next_offset FROM cdc.offsets WHERE partition = 1") == [(9,)]


def test_an_offset_whose_commit_was_not_heard_of_is_no_sign_of_it(site: Site) -> None:
    site.query("UPDATE cdc.offsets SET next_offset = 7")
    site.ledger().verify(PARTITIONS)
    site.ledger().store(dict.fromkeys(PARTITIONS, 9))


@pytest.mark.parametrize(
    "restore",
    [
        "CREATE TABLE cdc.copy (LIKE cdc.offsets INCLUDING ALL); INSERT INTO cdc.copy SELECT * FROM cdc.offsets;"
        "DROP TABLE cdc.offsets; ALTER TABLE cdc.copy RENAME TO offsets",
        "CREATE TEMPORARY TABLE kept AS TABLE cdc.offsets; TRUNCATE cdc.offsets;"
        "INSERT INTO cdc.offsets SELECT * FROM kept",
    ],
    ids=["dropped", "truncated"],
)
def test_a_dump_loaded_below_a_running_process_is_noticed_though_the_offsets_are_the_same(
    site: Site, restore: str
) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1)], PARTITIONS)
    site.query(restore)
    with pytest.raises(Rewound):
        site.ledger().verify(PARTITIONS)
    with pytest.raises(Rewound):
        site.ledger().store(dict.fromkeys(PARTITIONS, 9))
    assert site.ledger().claim(PARTITIONS) == dict.fromkeys(PARTITIONS, 5)
    applier.apply([upsert("a", 2)], PARTITIONS)
    site.ledger().store(dict.fromkeys(PARTITIONS, 9))


def test_what_is_known_of_tables_is_forgotten_with_a_new_claim_so_that_numbers_are_not_mixed_up(site: Site) -> None:
    applier = site.applier()
    ledger = site.ledger(forget=applier._tables.forget_all)
    applier.apply([upsert("a", 1)], PARTITIONS)
    site.query("UPDATE cdc.offsets SET next_offset = 1")
    site.query("UPDATE cdc.tables SET namespace = 'game.others', table_name = 'others'")
    with pytest.raises(Rewound):
        ledger.verify(PARTITIONS)
    ledger.claim(PARTITIONS)
    applier.apply([upsert("a", 2)], PARTITIONS)
    assert site.query("SELECT count(*) FROM cdc.tables") == [(2,)]


def test_a_batch_that_was_prepared_before_a_new_claim_is_prepared_again(site: Site) -> None:
    applier = site.applier()
    tables, resolve = applier._tables, applier._tables.resolve

    def claimed_meanwhile(namespace: str) -> object:
        target = resolve(namespace)
        tables.forget_all()
        return target

    tables.resolve = claimed_meanwhile  # type: ignore[method-assign, assignment]
    with pytest.raises(Retryable, match="claimed anew"):
        applier.apply([upsert("a", 1)], PARTITIONS)
    tables.resolve = resolve  # type: ignore[method-assign]
    assert site.query("SELECT count(*) FROM players") == [(0,)]
    assert applier.apply([upsert("a", 1)], PARTITIONS).inserted == 1


def test_a_database_that_comes_back_without_our_schema_gets_it_again(site: Site) -> None:
    site.query("DROP SCHEMA cdc CASCADE")
    assert site.ledger().claim(PARTITIONS) == {}
    site.ledger().store(dict.fromkeys(PARTITIONS, 1))


def test_after_a_restart_every_claim_is_made_again_before_anything_is_written(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with started(EmbeddedPostgres(tmp_path_factory.mktemp("restarted"))) as server:
        site = Site(server.dsn)
        applier, ledger = site.applier(), site.ledger()
        ledger.claim(PARTITIONS)
        applier.apply([upsert("a", 1)], PARTITIONS)
        ledger.store({SOME[0]: 5})
        server.stop()
        server.start()
        for attempt in (
            lambda: ledger.verify(PARTITIONS),
            lambda: ledger.store({SOME[0]: 6}),
            lambda: applier.apply([upsert("a", 2)], [SOME[0]]),
        ):
            with pytest.raises(Rewound) as caught:
                attempt()
            assert caught.value.partitions == PARTITIONS
        assert ledger.claim([SOME[0]]) == {SOME[0]: 5}
        applier.apply([upsert("a", 2)], [SOME[0]])
        ledger.store({SOME[0]: 6})
        with pytest.raises(Rewound) as caught:
            applier.apply([upsert("b", 2)], PARTITIONS)
        assert caught.value.partitions == set(SOME[1:])
        site.close()


def test_a_connection_to_a_server_that_was_replaced_is_not_used_again(postgres_dsn: str, site: Site) -> None:
    """Both answer, as when a primary was given up but lives: the newest connection is right."""
    other = f"{postgres_dsn.rpartition('/')[2]}_other"
    site.query(f"CREATE DATABASE {other}")
    try:
        with site.pool.session() as old:
            site.pool._connect._dsn = f"{postgres_dsn.rpartition('/')[0]}/{other}"  # type: ignore[attr-defined]
            with site.pool.session() as new:
                assert old.server != new.server
        for _ in range(3):
            with site.pool.session() as session:
                assert session.query("SELECT current_database()") == [(other,)]
    finally:
        site.close()
        admin = psycopg2.connect(postgres_dsn)
        admin.autocommit = True
        admin.cursor().execute(f"DROP DATABASE {other} WITH (FORCE)")
        admin.close()


def test_another_owner_is_told_apart_from_another_database(site: Site) -> None:
    site.ledger("other").claim([SOME[0]])
    with pytest.raises(Fenced) as caught:
        site.ledger().store(dict.fromkeys(PARTITIONS, 9))
    assert not isinstance(caught.value, Rewound)
    assert caught.value.partitions == {SOME[0]}
