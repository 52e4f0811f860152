"""Real servers, started when the first test of the session asks for one, and a fresh corner for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from cdc_cli.demo.servers import (
    ApacheKafka,
    EmbeddedKafka,
    EmbeddedMongo,
    EmbeddedPostgres,
    EmbeddedServer,
    EmbeddedValkey,
    Listener,
    ServerError,
)
from cdc_cli.demo.servers.process import free_port
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from redis import Redis

S = TypeVar("S", bound=EmbeddedServer)
Factory = pytest.TempPathFactory


@contextmanager
def started(server: S) -> Iterator[S]:
    """Starts a server and stops it afterwards. A machine without it skips the test, with the reason; when
    CI=true the test fails, because there nobody would notice the skip.
    """
    try:
        server.start()
    except ServerError as exc:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"{exc.message}\n{exc.hint}")
    try:
        yield server
    finally:
        server.stop(grace=5.0)


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: Factory) -> Iterator[EmbeddedMongo]:
    """A replica set of one, shared by the session: use `mongo_database`, and start your own to break it."""
    with started(
        EmbeddedMongo(tmp_path_factory.mktemp("mongodb"), parameters={"enableTestCommands": "1"})
    ) as server:
        yield server


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: Factory) -> Iterator[ApacheKafka]:
    """Apache Kafka, shared by the session, with a second door that `kafka_proxy` stands in front of."""
    proxied = Listener("PROXIED", free_port(), advertised=f"127.0.0.1:{free_port()}")
    properties = {"group.min.session.timeout.ms": "1000"}
    with started(ApacheKafka(tmp_path_factory.mktemp("kafka"), listeners=[proxied], properties=properties)) as server:
        yield server


@pytest.fixture(scope="session")
def tansu(tmp_path_factory: Factory) -> Iterator[EmbeddedKafka]:
    """The broker in memory, shared by the session."""
    with started(EmbeddedKafka(tmp_path_factory.mktemp("tansu"))) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: Factory) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL, shared by the session; use `postgres_dsn`."""
    with started(EmbeddedPostgres(tmp_path_factory.mktemp("postgresql"))) as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: Factory) -> Iterator[EmbeddedValkey]:
    """Valkey, shared by the session; use `redis_prefix`."""
    with started(EmbeddedValkey(tmp_path_factory.mktemp("valkey"))) as server:
        yield server


@pytest.fixture
def unique() -> str:
    """A name that no other test uses; valid as part of a database, topic, group and table name."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def mongo_database(mongo: EmbeddedMongo, unique: str) -> Iterator[Any]:
    """An empty pymongo Database of this test alone, dropped afterwards."""
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](mongo.uri, tz_aware=True) as client:
        yield client[unique]
        client.drop_database(unique)


@pytest.fixture
def topic_prefix(unique: str) -> str:
    """What all topics and groups of this test begin with."""
    return f"{unique}."


@pytest.fixture
def postgres_dsn(postgres: EmbeddedPostgres, unique: str) -> Iterator[str]:
    """The URL of an empty database of this test alone, dropped afterwards with whoever is still in it."""
    _execute(postgres.dsn, f'CREATE DATABASE "{unique}"')
    yield postgres.dsn_for(unique)
    _execute(postgres.dsn, f'DROP DATABASE "{unique}" WITH (FORCE)')


@pytest.fixture
def redis_prefix(valkey: EmbeddedValkey, unique: str) -> Iterator[str]:
    """What all keys of this test begin with; they are removed afterwards."""
    yield f"{unique}:"
    import redis

    client: Redis = redis.Redis.from_url(valkey.url)
    with client:
        for key in client.scan_iter(match=f"{unique}:*"):
            client.delete(key)


@pytest.fixture
def proxied() -> Iterator[Callable[[int], Proxy]]:
    """Makes a proxy in front of a port: `proxied(mongo.port)`, then `mongo.direct_uri(proxy.port)`."""
    proxies: list[Proxy] = []

    def make(port: int) -> Proxy:
        proxies.append(Proxy("127.0.0.1", port))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def kafka_proxy(kafka: ApacheKafka) -> Iterator[Proxy]:
    """A proxy that clients stay behind, because Kafka advertises it: bootstrap from `kafka_proxy.address`."""
    door = kafka.listeners[1]
    with Proxy("127.0.0.1", door.port, port=int(door.advertised.rpartition(":")[2])) as proxy:
        yield proxy


def _execute(dsn: str, statement: str) -> None:
    import psycopg2

    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()
