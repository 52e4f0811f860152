"""What goes wrong at a start: one clear sentence with the next step, and the right exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
from pymongo import MongoClient

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedPostgres, EmbeddedValkey
from tests.support.cdc_process import Ended, run_cdc
from tests.support.failpoints import failing
from tests.support.fixtures import started
from tests.support.pipeline import Pipeline
from tests.support.proxy import Proxy

UNREACHABLE, TRY_LATER, DENIED, CONFIG, POSITION_LOST = 69, 75, 77, 78, 80
CANARY = "canary-4711-p%ss word/@:"
"""A password with everything that has to be escaped in an URI."""


def assert_told(ended: Ended, code: int, *words: str) -> None:
    """One sentence about what failed, one about what to do, nothing else for people; no secret anywhere."""
    told = "\n".join(ended.sentences)
    assert ended.code == code, ended.stderr
    kinds = [line.partition(":")[0] for line in ended.sentences]
    assert kinds == ["error", "hint"], told
    for word in words:
        assert word in told, f"{word!r} is not in:\n{told}"
    assert "Traceback" not in told
    for secret in (CANARY, quote(CANARY, safe="")):
        assert secret not in ended.stderr + ended.stdout


@pytest.fixture(scope="module")
def locked_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongo]:
    """A replica set with access control; its root's password is the canary."""
    with started(EmbeddedMongo(tmp_path_factory.mktemp("locked-mongodb"), password=CANARY)) as server:
        yield server


@pytest.fixture(scope="module")
def locked_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that wants the canary as password; with a user `weak` who may only connect."""
    with started(EmbeddedPostgres(tmp_path_factory.mktemp("locked-postgresql"), password=CANARY)) as server:
        connection = psycopg2.connect(server.dsn)
        connection.autocommit = True
        connection.cursor().execute("CREATE ROLE weak LOGIN PASSWORD %s", (CANARY,))
        connection.close()
        yield server


def _try(pipeline: Pipeline, command: str, **settings: Any) -> Ended:
    """Start a service that must not come up; a dotted path is written with two underscores."""
    changes = {path.replace("__", "."): value for path, value in settings.items()}
    return pipeline.run(command, changes=changes, timeout=60)


@pytest.mark.requirement("R12.5", "R1.2", "R11.5")
def test_a_wrong_mongodb_password_is_told(pipeline: Pipeline, locked_mongo: EmbeddedMongo) -> None:
    uri = locked_mongo.uri.replace("root:", "root:not").replace("notc", "not-c")
    ended = _try(pipeline, "watch", mongodb__uri=uri)
    assert_told(ended, DENIED, "MongoDB", "password", "mongodb.uri")


@pytest.mark.requirement("R12.5")
def test_a_missing_mongodb_right_is_told(pipeline: Pipeline, locked_mongo: EmbeddedMongo) -> None:
    with MongoClient[Any](locked_mongo.uri) as client:
        roles = [{"role": "readWrite", "db": "elsewhere"}]
        client.admin.command("createUser", pipeline.name, pwd=CANARY, roles=roles)
    uri = locked_mongo.uri.replace("root:", f"{pipeline.name}:")
    ended = _try(pipeline, "watch", mongodb__uri=uri)
    assert_told(ended, DENIED, "right", "`read`")


@pytest.mark.requirement("R12.5")
def test_a_standalone_mongodb_is_told(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> None:
    with started(EmbeddedMongo(tmp_path_factory.mktemp("standalone"), replica_set=False)) as standalone:
        ended = _try(pipeline, "watch", mongodb__uri=standalone.uri)
    assert_told(ended, CONFIG, "standalone", "replica set", "rs.initiate()")


SERVERS = ("MongoDB", "Kafka", "PostgreSQL", "Redis")
REFUSED = [
    ("watch", "MongoDB", {}, "mongodb.uri"),
    ("watch", "Kafka", {"kafka.client": "kafka-python"}, "kafka.bootstrap_servers"),
    ("sync", "Kafka", {"kafka.client": "confluent"}, "kafka.bootstrap_servers"),
    ("sync", "PostgreSQL", {}, "postgres.dsn"),
    ("watch", "Redis", {"token_store.backend": "redis"}, "Redis is running"),
    ("watch", "nobody", {"kafka.client": "kafka-python"}, "kafka.bootstrap_servers"),
]
BLACKHOLED = [
    *REFUSED[:5],
    ("watch", "Kafka", {"kafka.client": "confluent"}, "kafka.bootstrap_servers"),
]
"""Command, server, further settings, and a word of the hint."""


def _addressed(server: str, address: str) -> dict[str, Any]:
    """The setting that leads to that address, with a secret where there may be one."""
    secret = quote(CANARY, safe="")
    return {
        "nobody": {"kafka.bootstrap_servers": ["kafka.invalid:9092"]},
        "MongoDB": {"mongodb.uri": f"mongodb://user:{secret}@{address}/?directConnection=true"},
        "Kafka": {"kafka.bootstrap_servers": [address]},
        "PostgreSQL": {"postgres.dsn": f"postgresql://user:{secret}@{address}/game"},
        "Redis": {"token_store.redis.url": f"redis://:{secret}@{address}/0"},
    }[server]


@pytest.mark.requirement("R1.2", "R3.4", "R4.1", "R7.1", "R12.2", "R12.4")
@pytest.mark.parametrize(("silent", "cases"), [(False, REFUSED), (True, BLACKHOLED)], ids=["refused", "blackholed"])
def test_an_unreachable_server_is_told(
    pipeline: Pipeline, mongo: EmbeddedMongo, kafka: ApacheKafka, postgres: EmbeddedPostgres, valkey: EmbeddedValkey,
    proxied: Callable[[int], Proxy], silent: bool, cases: list[tuple[str, str, dict[str, Any], str]],
) -> None:
    ports = dict(zip(SERVERS, (mongo.port, kafka.port, postgres.port, valkey.port), strict=True))
    proxies = {name: proxied(port) for name, port in ports.items()}
    for proxy in proxies.values():
        proxy.blackhole() if silent else proxy.refuse()
    files = [
        pipeline.write_config({
            **changes,
            **_addressed(server, proxies[server].address if server in proxies else ""),
            "token_store.file.path": str(pipeline.folder / f"state-{number}" / "token.json"),
        })
        for number, (_, server, changes, _) in enumerate(cases)
    ]

    def run(number: int) -> Ended:
        command = cases[number][0]
        return run_cdc(command, "-c", str(files[number]), folder=pipeline.folder, timeout=60)

    # they mostly wait, so they wait together (how long is checked in tests/unit/workers/test_starter.py)
    with ThreadPoolExecutor(len(files)) as threads:
        outcomes = list(threads.map(run, range(len(files))))
    for (_, server, _, word), ended in zip(cases, outcomes, strict=True):
        assert_told(ended, UNREACHABLE, server if server in SERVERS else "Kafka", word)


@pytest.mark.requirement("R12.5")
def test_a_wrong_redis_password_is_told(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> None:
    with started(EmbeddedValkey(tmp_path_factory.mktemp("locked-valkey"), password="right")) as server:
        url = f"redis://:{quote(CANARY, safe='')}@{server.address}/0"
        ended = _try(pipeline, "watch", token_store__backend="redis", token_store__redis__url=url)
    assert_told(ended, DENIED, "Redis", "correct user, password")


@pytest.mark.requirement("R12.5", "R7.1")
def test_a_wrong_postgresql_password_is_told(pipeline: Pipeline, locked_postgres: EmbeddedPostgres) -> None:
    dsn = f"postgresql://postgres:{quote(CANARY + 'x', safe='')}@{locked_postgres.address}/postgres"
    ended = _try(pipeline, "sync", postgres__dsn=dsn)
    assert_told(ended, DENIED, "password authentication failed", "postgres.dsn")


@pytest.mark.requirement("R12.5")
def test_a_missing_postgresql_database_is_told(pipeline: Pipeline, locked_postgres: EmbeddedPostgres) -> None:
    ended = _try(pipeline, "sync", postgres__dsn=locked_postgres.dsn_for("nowhere"))
    assert_told(ended, CONFIG, 'database "nowhere" does not exist', "create the database")


@pytest.mark.requirement("R12.5")
def test_a_missing_postgresql_right_is_told(pipeline: Pipeline, locked_postgres: EmbeddedPostgres) -> None:
    dsn = f"postgresql://weak:{quote(CANARY, safe='')}@{locked_postgres.address}/postgres"
    ended = _try(pipeline, "sync", postgres__dsn=dsn)
    assert_told(ended, DENIED, "permission denied", "as an administrator", "CREATE SCHEMA")


@pytest.mark.requirement("R2.3")
@pytest.mark.parametrize("content", [b"", b"{}", b'{"kind": "cdc-resume-token", "format": 1, "rec', b"\xff\xfe"])
def test_a_corrupt_token_is_refused_and_kept(pipeline: Pipeline, content: bytes) -> None:
    pipeline.token_file.parent.mkdir(mode=0o700)
    pipeline.token_file.touch(mode=0o600)
    pipeline.token_file.write_bytes(content)
    ended = _try(pipeline, "watch")
    assert_told(ended, POSITION_LOST, "resume token", "cdc token")
    assert pipeline.token_file.read_bytes() == content


@pytest.mark.requirement("R2.2")
def test_an_edited_token_is_refused(pipeline: Pipeline) -> None:
    assert pipeline.watch().stop() == 0
    token = pipeline.token_file.read_text()
    pipeline.token_file.write_text(token.replace("database", "databasf", 1))
    assert_told(_try(pipeline, "watch"), POSITION_LOST, "damaged", "cdc token")


@pytest.mark.requirement("R2.2")
def test_a_token_of_another_stream_is_refused(pipeline: Pipeline) -> None:
    assert pipeline.watch().stop() == 0
    ended = _try(pipeline, "watch", mongodb__database="another")
    assert_told(ended, CONFIG, "another", "cdc token")


@pytest.mark.requirement("R2.2", "R12.5")
def test_a_position_that_has_left_the_oplog_is_told_and_the_token_kept(
    pipeline: Pipeline, mongo: EmbeddedMongo
) -> None:
    assert pipeline.watch().stop() == 0
    token = pipeline.token_file.read_bytes()
    with failing(mongo, f"cdc:{pipeline.name}", ["aggregate"], 286):
        assert_told(_try(pipeline, "watch"), POSITION_LOST, "oplog", "cdc token reset")
    assert pipeline.token_file.read_bytes() == token


@pytest.mark.requirement("R2.5")
@pytest.mark.parametrize("store", ["file", "redis"])
def test_a_second_watcher_on_the_same_token_gives_way(
    pipeline: Pipeline, valkey: EmbeddedValkey, redis_prefix: str, store: str
) -> None:
    pipeline.set("token_store.backend", store)
    pipeline.set("token_store.redis", {"url": valkey.url, "key_prefix": redis_prefix, "lease": "2s"})
    first = pipeline.watch()
    ended = _try(pipeline, "watch")
    assert_told(ended, TRY_LATER, "another", str(first.pid))
    assert first.stop() == 0


@pytest.mark.requirement("R11.5")
@pytest.mark.parametrize("command", ["watch", "sync"])
def test_missing_topics_are_told_when_they_may_not_be_created(pipeline: Pipeline, command: str) -> None:
    ended = _try(
        pipeline, command, kafka__create_topics__enabled=False, mongodb__collections=["players"]
    )
    assert_told(ended, CONFIG, pipeline.topic("players"), "create")


@pytest.mark.requirement("R12.5", "R4.1")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_session_timeout_that_the_broker_refuses_is_told(pipeline: Pipeline, client: str) -> None:
    pipeline.set("mongodb.collections", ["players"])
    ended = _try(pipeline, "sync", kafka__client=client, kafka__consumer__session_timeout="900ms")
    assert_told(ended, CONFIG, "ession", "kafka section")


@pytest.mark.requirement("R11.4", "R11.5")
def test_a_missing_required_value_is_told_with_its_place(pipeline: Pipeline) -> None:
    pipeline.config["mongodb"].pop("uri")
    pipeline.config["postgres"].pop("dsn")
    pipeline.config["syncer"]["workers"] = 0
    ended = _try(pipeline, "watch")
    assert ended.code == CONFIG
    told = "\n".join(ended.sentences)
    assert all(path in told for path in ("mongodb.uri", "postgres.dsn", "syncer.workers")), told
