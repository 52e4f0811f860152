"""The tables that a collection gets in PostgreSQL, and those that stand there already."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg2
import pytest

from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.schema import VERSION, CdcSchema
from cdc_cli.apply.session import Connector
from cdc_cli.consume import Partition
from cdc_cli.errors import ConfigError, Denied
from tests.support.changes import delete, poison, upsert
from tests.support.writers import PARTITIONS, Site


@pytest.mark.requirement("R8.3")
def test_a_collection_gets_a_table_with_a_unique_key(site: Site) -> None:
    site.applier().apply([upsert("a", 1)], PARTITIONS)
    columns = site.query(
        "SELECT column_name, data_type, collation_name FROM information_schema.columns "
        "WHERE table_name = 'players' ORDER BY ordinal_position"
    )
    assert columns == [
        ("_id", "text", "C"),
        ("_id_type", "text", "C"),
        ("document", "jsonb", None),
        ("cdc_position", "text", "C"),
        ("cdc_time", "timestamp with time zone", None),
    ]
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'players'::regclass AND contype = 'p'"
    assert site.query(key) == [("PRIMARY KEY (_id, _id_type)",)]
    assert site.query("SELECT extract(epoch FROM cdc_time)::text FROM players") == [("1764046833.001000",)]


@pytest.mark.parametrize("collection", ['x"; DROP TABLE cdc.tables; --', "a%s", "Players", "ä" * 40, "select", "a.b"])
def test_any_collection_name_makes_a_table(site: Site, collection: str) -> None:
    table = f"game.{collection}"
    applied = site.applier(copy_threshold=1).apply(
        [upsert("a", 1, table), upsert("b", 2, table), delete("c", 3, table), poison("d", 4, table)], PARTITIONS
    )
    assert (applied.inserted, applied.stale, len(applied.rejected)) == (2, 1, 1)
    (name,) = site.query("SELECT table_name FROM cdc.tables WHERE namespace = %s", table)[0]
    assert site.query("SELECT 1 FROM pg_tables WHERE tablename = %s", name)
    assert name == collection or len(collection.encode()) > 63


def test_a_schema_is_made_when_it_is_missing_and_tables_carry_the_database_when_there_are_several(
    postgres_dsn: str,
) -> None:
    site = Site(postgres_dsn, schema="mirror")
    try:
        site.claim()
        site.applier(database=None).apply([upsert("a", 1)], PARTITIONS)
        assert site.query('SELECT _id FROM mirror."game.players"') == [("a",)]
    finally:
        site.close()


def test_two_collections_never_share_a_table(site: Site) -> None:
    site.applier().apply([upsert("a", 1)], PARTITIONS)
    with pytest.raises(ConfigError, match=r'"players" belongs to game\.players, not to shop\.players'):
        site.applier(database="shop").apply([upsert("a", 1, "shop.players")], PARTITIONS)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ("_id text COLLATE \"C\", document jsonb", "no column _id_type"),
        ("{}, PRIMARY KEY (_id)", "no unique key"),
        ("{}", "no unique key"),
        ("{}, UNIQUE (_id, _id_type) DEFERRABLE", "no unique key"),
        ("{}, PRIMARY KEY (_id, _id_type), tenant int NOT NULL", "wants a value for tenant"),
    ],
)
def test_an_existing_table_that_does_not_fit_is_refused_with_the_ddl_that_mends_it(
    site: Site, columns: str, complaint: str
) -> None:
    ours = '_id text COLLATE "C", _id_type text COLLATE "C", document jsonb, cdc_position text COLLATE "C", '
    site.query(f"CREATE TABLE players ({columns.format(ours + 'cdc_time timestamptz')})")
    if "DEFERRABLE" not in columns and "(_id)" not in columns:
        _mend(site, complaint)
        return
    with pytest.raises(ConfigError, match=complaint):
        site.applier().apply([upsert("a", 1)], PARTITIONS)


def _mend(site: Site, complaint: str) -> None:
    """Do what the hints say, until the table is taken."""
    complaints = []
    for _ in range(6):
        try:
            assert site.applier().apply([upsert("a", 1)], PARTITIONS).inserted == 1
        except ConfigError as error:
            complaints.append(error.message)
            site.query(error.hint)
        else:
            break
    assert complaint in complaints[0]
    assert site.query("SELECT _id FROM players") == [("a",)]


@pytest.mark.parametrize(
    ("ddl", "complaint"),
    [
        (
            "CREATE COLLATION other (provider = libc, locale = 'C.UTF-8');"
            "ALTER TABLE players ALTER _id TYPE text COLLATE other",
            "_id text COLLATE",
        ),
        ("ALTER TABLE players ALTER document TYPE text", "document text COLLATE"),
        ("ALTER TABLE players SET UNLOGGED", "is not crash-safe"),
    ],
)
def test_a_table_that_was_altered_is_refused_and_taken_again_when_mended(
    site: Site, ddl: str, complaint: str
) -> None:
    site.applier().apply([upsert("a", 1)], PARTITIONS)
    site.query(ddl)
    with pytest.raises(ConfigError, match=complaint) as caught:
        site.applier().apply([upsert("a", 2)], PARTITIONS)
    site.query(caught.value.hint + (" USING document::jsonb" if "document" in ddl else ""))
    assert site.applier().apply([upsert("a", 2)], PARTITIONS).updated == 1


def test_a_view_is_no_table(site: Site) -> None:
    site.query("CREATE VIEW players AS SELECT 1 AS _id")
    with pytest.raises(ConfigError, match="is not a table"):
        site.applier().apply([upsert("a", 1)], PARTITIONS)


def test_further_columns_that_take_care_of_themselves_are_welcome(site: Site) -> None:
    applier = site.applier()
    applier.apply([upsert("a", 1, level=7)], PARTITIONS)
    site.query("ALTER TABLE players ADD level int GENERATED ALWAYS AS ((document->>'level')::int) STORED")
    site.query("ALTER TABLE players ADD seen timestamptz NOT NULL DEFAULT now()")
    assert applier.apply([upsert("a", 2, level=8)], PARTITIONS).updated == 1
    assert site.applier().apply([upsert("b", 3, level=9)], PARTITIONS).inserted == 1
    assert site.query("SELECT level FROM players ORDER BY 1") == [(8,), (9,)]


@pytest.mark.requirement("R8.4")
def test_inserts_and_updates_are_told_apart_on_a_partitioned_table_too(site: Site) -> None:
    site.query(
        'CREATE TABLE players (_id text COLLATE "C", _id_type text COLLATE "C", document jsonb, '
        'cdc_position text COLLATE "C", cdc_time timestamptz, PRIMARY KEY (_id, _id_type)) PARTITION BY HASH (_id)'
    )
    for part in range(2):
        site.query(
            f"CREATE TABLE part{part} PARTITION OF players FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
        )
    applier = site.applier(copy_threshold=3)
    applier.apply([upsert(id_, 1) for id_ in "abcdefgh"], PARTITIONS)
    applied = applier.apply([upsert("a", 2), upsert("b", 1), upsert("x", 3)], PARTITIONS)
    assert (applied.inserted, applied.updated, applied.stale) == (1, 1, 1)
    assert applier.apply([delete(id_, 4) for id_ in "aceg"], PARTITIONS).deleted == 4
    assert site.query("SELECT string_agg(_id, '' ORDER BY _id) FROM players") == [("bdfhx",)]


def test_a_table_that_was_dropped_is_made_again_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    applier = site.applier()
    for at in (1, 2):
        assert applier.apply([upsert("a", at)], PARTITIONS).inserted == 1
        site.query("DROP TABLE players")
    assert "a target table is gone" in caplog.text


def test_without_the_schema_cdc_the_error_says_so(site: Site) -> None:
    applier = site.applier()
    site.query("DROP SCHEMA cdc CASCADE")
    with pytest.raises(ConfigError, match=r'relation "cdc\.\w+" does not exist'):
        applier.apply([upsert("a", 1)], [])


def test_processes_that_start_together_make_each_table_once(postgres_dsn: str) -> None:
    def start(number: int) -> int:
        site = Site(postgres_dsn)
        try:
            applier = site.applier(str(number))
            return sum(applier.apply([upsert(f"k{number}", 1, f"game.t{i}")], []).inserted for i in range(5))
        finally:
            site.close()

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(start, range(6))) == [5] * 6


def test_a_schema_of_a_newer_program_is_left_alone(site: Site) -> None:
    site.query("INSERT INTO cdc.version VALUES (99)")
    with pytest.raises(ConfigError, match="version 99"):
        Site(site.dsn)


def old_schema(site: Site) -> None:
    """As version 1 made it, with an offset."""
    site.claim()
    site.ledger().store({Partition("topic", 0): 7})
    site.query("ALTER TABLE cdc.offsets DROP COLUMN topic_id; UPDATE cdc.version SET version = 1")


def test_a_schema_of_an_older_program_is_brought_up_to_date_and_its_offsets_take_the_id_of_today(site: Site) -> None:
    old_schema(site)
    later = Site(site.dsn)
    try:
        assert later.query("SELECT max(version) FROM cdc.version") == [(VERSION,)]
        ledger = later.ledger("later")
        assert ledger.claim([Partition("topic", 0)], {"topic": "A"}) == {Partition("topic", 0): 7}
        assert later.query("SELECT topic_id FROM cdc.offsets WHERE partition = 0") == [("A",)]
    finally:
        later.close()


def test_a_role_that_may_not_alter_the_older_schema_is_told_the_statement_which_helps(site: Site, role: str) -> None:
    old_schema(site)
    rights = "SELECT, INSERT, UPDATE, DELETE"
    site.query(f"GRANT USAGE ON SCHEMA cdc TO {role}; GRANT {rights} ON ALL TABLES IN SCHEMA cdc TO {role}")
    dsn = site.dsn.replace("postgres@", f"{role}@")
    with pytest.raises(Denied, match="must be owner") as caught:
        Site(dsn)
    site.query(caught.value.hint.partition(": ")[2])
    Site(dsn).close()
    assert site.query("SELECT max(version) FROM cdc.version") == [(VERSION,)]


def test_a_database_that_cannot_hold_every_character_is_refused(postgres_dsn: str, unique: str) -> None:
    database = f"{unique}_latin1"
    admin = psycopg2.connect(postgres_dsn)
    admin.autocommit = True
    admin.cursor().execute(f"CREATE DATABASE {database} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    dsn = urlsplit(postgres_dsn)._replace(path=f"/{database}").geturl()
    try:
        with pytest.raises(ConfigError, match="LATIN1"):
            Site(dsn)
    finally:
        admin.cursor().execute(f"DROP DATABASE {database} WITH (FORCE)")
        admin.close()


@pytest.fixture
def role(postgres_dsn: str, unique: str) -> Iterator[str]:
    """A role that may only connect."""
    admin = psycopg2.connect(postgres_dsn)
    admin.autocommit = True
    cursor = admin.cursor()
    cursor.execute(f"CREATE ROLE {unique} LOGIN; REVOKE TEMPORARY ON DATABASE {unique} FROM PUBLIC")
    yield unique
    cursor.execute(f"DROP OWNED BY {unique} CASCADE; DROP ROLE {unique}")
    admin.close()


@pytest.mark.requirement("R12.5")
def test_every_missing_right_is_named_until_the_least_rights_are_there(postgres_dsn: str, role: str) -> None:
    dsn = postgres_dsn.replace("postgres@", f"{role}@")
    admin = psycopg2.connect(postgres_dsn)
    admin.autocommit = True
    hints = []
    changes = [upsert("a", 1), upsert("b", 2)]
    for _ in range(8):
        try:
            site = Site(dsn)
        except Denied as error:
            hints.append(error.hint)
        else:
            try:
                assert site.applier(copy_threshold=1).apply(changes, []).inserted == 2
                break
            except Denied as error:
                hints.append(error.hint)
            finally:
                site.close()
        statement = hints[-1].partition(": ")[2].partition(";")[0].replace("<our role>", role)
        admin.cursor().execute(statement)
    admin.close()
    assert [hint.partition(": ")[2].split(" ")[1] for hint in hints] == ["SCHEMA", "USAGE,", "TEMPORARY"]


def test_the_connection_string_is_never_quoted_in_an_error() -> None:
    connect = Connector("postgres:/cdc:s3cret@host/game", "test", "public", 1.0)
    with pytest.raises(ConfigError) as caught:
        CdcSchema(ConnectionPool(connect, 1, 1, 1.0)).ensure()
    shown = repr(caught.value) + repr(caught.value.__cause__) + caught.value.hint
    assert "s3cret" not in shown
