"""What `cdc config validate --connect` says about real servers: fit, or one sentence with the next step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdc_cli.cli.probes import Outcome, Probe, mongodb, postgres, redis, run_probes
from cdc_cli.errors import ExitCode
from cdc_cli.settings.models import Settings
from tests.support.fixtures import started

if TYPE_CHECKING:
    from cdc_cli.demo.servers import ApacheKafka

NOWHERE = "127.0.0.1:1"


def settings(**sections: dict[str, Any]) -> Settings:
    base: dict[str, dict[str, Any]] = {
        "mongodb": {"uri": f"mongodb://{NOWHERE}"},
        "kafka": {"bootstrap_servers": [NOWHERE]},
        "postgres": {"dsn": "host=127.0.0.1 port=1"},
    }
    merged = {name: {**base.get(name, {}), **sections.get(name, {})} for name in {**base, **sections}}
    return Settings.model_validate(merged)


def kafka_probe(configured: Settings, seconds: float) -> Any:
    """Imported late: the name of the module is the name of a fixture."""
    from cdc_cli.cli.probes import kafka as module

    return module.probe(configured, seconds)


def ask(probe: Probe, configured: Settings, timeout: float = 20.0) -> Outcome:
    (outcome,) = run_probes(configured, timeout, {"server": probe})
    return outcome


def test_a_replica_set_is_fit_and_an_empty_database_is_mentioned(mongo_database: Any, mongo: Any) -> None:
    configured = settings(mongodb={"uri": mongo.uri, "database": mongo_database.name})
    outcome = ask(mongodb.probe, configured)
    assert outcome.is_fit, outcome.message
    assert f"replica set rs0; a change stream on database {mongo_database.name} opens" in outcome.message
    assert outcome.warnings == (f"{mongo_database.name} has no collection yet that mongodb.collections selects",)
    mongo_database.create_collection("players")
    assert ask(mongodb.probe, configured).warnings == ()
    assert ask(mongodb.probe, settings(mongodb={"uri": mongo.uri})).is_fit


def test_a_collection_without_the_images_that_are_required_is_a_warning(mongo_database: Any, mongo: Any) -> None:
    mongo_database.create_collection("plain")
    mongo_database.create_collection("imaged", changeStreamPreAndPostImages={"enabled": True})
    section = {"uri": mongo.uri, "database": mongo_database.name, "full_document": "required"}
    (warning,) = ask(mongodb.probe, settings(mongodb=section)).warnings
    assert warning.startswith("plain: changeStreamPreAndPostImages is off")


def test_a_standalone_mongodb_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    from cdc_cli.demo.servers import EmbeddedMongo

    with started(EmbeddedMongo(tmp_path, replica_set=False)) as server:
        outcome = ask(mongodb.probe, settings(mongodb={"uri": server.uri}))
    assert (outcome.code, outcome.error_code) == (ExitCode.CONFIG, "mongodb.not_replicated")
    assert "standalone" in outcome.message
    assert "--replSet" in outcome.hint


def test_a_wrong_password_or_a_missing_right_in_mongodb_is_denied(tmp_path: Path) -> None:
    from pymongo import MongoClient

    from cdc_cli.demo.servers import EmbeddedMongo

    with started(EmbeddedMongo(tmp_path, user="root", password="canary-pw")) as server:
        wrong = server.uri.replace("canary-pw", "canary-wrong")
        outcome = ask(mongodb.probe, settings(mongodb={"uri": wrong, "database": "game"}))
        assert (outcome.code, outcome.error_code) == (ExitCode.DENIED, "mongodb.authentication")
        assert "canary" not in outcome.message + outcome.hint
        with MongoClient[dict[str, Any]](server.uri) as client:
            client.other.command("createUser", "reader", pwd="pw", roles=[{"role": "read", "db": "other"}])
        reader = server.uri.replace("root:canary-pw", "reader:pw").replace("authSource=admin", "authSource=other")
        assert "authSource=other" in reader
        outcome = ask(mongodb.probe, settings(mongodb={"uri": reader, "database": "game"}))
        assert (outcome.code, outcome.error_code) == (ExitCode.DENIED, "mongodb.unauthorized")
        assert "role" in outcome.hint
        assert ask(mongodb.probe, settings(mongodb={"uri": reader, "database": "other"})).is_fit


def test_apache_kafka_is_fit_with_and_without_the_dead_letter_topic(kafka: ApacheKafka, topic_prefix: str) -> None:
    name = f"{topic_prefix}dlq"
    section: dict[str, Any] = {"bootstrap_servers": [kafka.bootstrap]}
    outcome = ask(kafka_probe, settings(kafka=section, dead_letter={"topic": name}))
    assert outcome.is_fit, outcome.message
    assert f"{name} will be created" in outcome.message
    manual = {**section, "create_topics": {"enabled": False}}
    outcome = ask(kafka_probe, settings(kafka=manual, dead_letter={"topic": name}))
    assert (outcome.code, outcome.error_code) == (ExitCode.CONFIG, "kafka.topic_missing")
    _create(kafka.bootstrap, name)
    outcome = ask(kafka_probe, settings(kafka=manual, dead_letter={"topic": name}))
    assert outcome.is_fit, outcome.message
    assert f"{name} is there" in outcome.message


def test_more_copies_than_brokers_is_a_mistake_in_the_configuration(kafka: ApacheKafka) -> None:
    section = {"bootstrap_servers": [kafka.bootstrap], "create_topics": {"replication_factor": 3}}
    outcome = ask(kafka_probe, settings(kafka=section))
    assert outcome.code is ExitCode.CONFIG
    assert "replication_factor is 3" in outcome.message


def test_servers_that_are_not_there_are_unreachable_inside_the_deadline() -> None:
    # Kafka stands in tests/e2e/test_config_command.py: kafka-python leaves sockets open when it gives up.
    for probe in (mongodb.probe, postgres.probe):
        outcome = ask(probe, settings(), timeout=3.0)
        assert (outcome.is_fit, outcome.code) == (False, ExitCode.UNREACHABLE)
        assert outcome.message != "no answer within 3 s", "the driver's own reason is better"
        assert outcome.hint


def test_postgresql_is_fit_when_tables_can_be_made(postgres_dsn: str) -> None:
    outcome = ask(postgres.probe, settings(postgres={"dsn": postgres_dsn}))
    assert outcome.is_fit, outcome.message
    assert "tables can be made in public" in outcome.message
    assert ask(postgres.probe, settings(postgres={"dsn": postgres_dsn, "schema": "not_yet"})).is_fit


def test_a_pool_larger_than_the_server_is_a_warning(postgres_dsn: str) -> None:
    section = {"dsn": postgres_dsn, "pool": {"min": 1, "max": 5000}}
    assert len(ask(postgres.probe, settings(postgres=section)).warnings) == 1


def test_the_missing_right_in_postgresql_comes_with_its_grant(postgres_dsn: str, unique: str) -> None:
    run = _sql(postgres_dsn)
    run(f"CREATE ROLE {unique} LOGIN PASSWORD 'pw'; CREATE SCHEMA target")
    try:
        dsn = postgres_dsn.replace("//postgres@", f"//{unique}:pw@")
        assert dsn != postgres_dsn
        configured = settings(postgres={"dsn": dsn, "schema": "target"})
        outcome = ask(postgres.probe, configured)
        assert outcome.code is ExitCode.DENIED
        assert "GRANT USAGE, CREATE ON SCHEMA target" in outcome.hint
        run(f"GRANT USAGE, CREATE ON SCHEMA target TO {unique}")
        outcome = ask(postgres.probe, configured)
        assert outcome.code is ExitCode.DENIED
        assert "CREATE SCHEMA cdc" in outcome.hint
        run(f"CREATE SCHEMA cdc AUTHORIZATION {unique}")
        assert ask(postgres.probe, configured).is_fit
        absent = settings(postgres={"dsn": dsn, "schema": "absent"})
        assert ask(postgres.probe, absent).code is ExitCode.CONFIG
    finally:
        run(f"DROP OWNED BY {unique}; DROP ROLE {unique}")


def test_a_dsn_that_is_none_shows_nothing_of_it() -> None:
    outcome = ask(postgres.probe, settings(postgres={"dsn": "host=h password=ca nary"}))
    assert outcome.code is ExitCode.CONFIG
    assert "nary" not in outcome.message + outcome.hint


def test_redis_that_does_not_persist_is_a_warning_and_a_wrong_password_is_denied(tmp_path: Path) -> None:
    from cdc_cli.demo.servers import EmbeddedValkey

    store = {"backend": "redis"}
    with started(EmbeddedValkey(tmp_path / "a", append_only=False)) as server:
        outcome = ask(redis.probe, settings(token_store={**store, "redis": {"url": server.url}}))
        assert outcome.is_fit, outcome.message
        assert "appendonly yes" in outcome.warnings[0]
    with started(EmbeddedValkey(tmp_path / "b", password="canary-pw")) as server:
        fit = ask(redis.probe, settings(token_store={**store, "redis": {"url": server.url}}))
        assert fit.is_fit, fit.message
        wrong = server.url.replace("canary-pw", "canary-wrong")
        outcome = ask(redis.probe, settings(token_store={**store, "redis": {"url": wrong}}))
        assert outcome.code is ExitCode.DENIED
        assert "canary" not in outcome.message


def _create(bootstrap: str, topic: str) -> None:
    from kafka.admin import KafkaAdminClient, NewTopic

    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        client.create_topics([NewTopic(topic, 1, 1)])
    finally:
        client.close()


def _sql(dsn: str) -> Any:
    import psycopg2

    def run(statements: str) -> None:
        connection = psycopg2.connect(dsn)
        try:
            connection.autocommit = True
            connection.cursor().execute(statements)
        finally:
            connection.close()

    return run


@pytest.fixture(autouse=True)
def _no_surprises(monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq would take these for what a DSN leaves out."""
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
