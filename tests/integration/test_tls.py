"""TLS and logins against real servers, with certificates of an authority of our own.

The embedded builds of PostgreSQL and Valkey speak no TLS: there a front terminates it, as stunnel does, so that our
side of it (the settings, what is verified, what is said when it fails) is the real one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cdc_cli.brokers.kafka_python_admin import KafkaPythonAdmin
from cdc_cli.cli.probes import Outcome, Probe, run_probes
from cdc_cli.clock import SystemClock
from cdc_cli.consume import Consumer, Partition
from cdc_cli.demo.servers import EmbeddedMongo, EmbeddedPostgres, EmbeddedValkey
from cdc_cli.errors import CdcError, ConfigError, Denied, ExitCode, Retryable
from cdc_cli.publish import Publisher, Record
from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from cdc_cli.settings.models import KafkaSettings, Settings
from tests.support.fixtures import started
from tests.support.kafka_site import kafka_settings
from tests.support.proxy import Proxy
from tests.support.secure_kafka import SecureKafka
from tests.support.tls import Authority, TlsFront
from tests.support.waiting import eventually

USER, PASSWORD = "alice", "canary-kafka-password"
CONNECT_SECONDS = 2.5
PROBE_SECONDS = 3.0
NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that has signed none of the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecureKafka]:
    with started(SecureKafka(tmp_path_factory.mktemp("kafka"), authority)) as server:
        server.add_user(USER, PASSWORD)
        server.allow_everything(USER)
        yield server


def with_tls(broker: SecureKafka, authority: Authority, **security: Any) -> KafkaSettings:
    chosen = {"protocol": "SSL", "ca_file": str(authority.file), **security}
    return kafka_settings(broker.tls, security=chosen, create_topics={"partitions": 2})


def with_login(broker: SecureKafka, authority: Authority, **security: Any) -> KafkaSettings:
    login = {"mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD}
    chosen = {"protocol": "SASL_SSL", "ca_file": str(authority.file), **login, **security}
    return kafka_settings(broker.login, security=chosen, create_topics={"partitions": 2})


def python_options(settings: KafkaSettings) -> dict[str, Any]:
    return {**kafka_python_options(settings), "bootstrap_timeout_ms": CONNECT_SECONDS * 1000}


def publisher_of(driver: str, settings: KafkaSettings) -> Publisher:
    if driver == "confluent":
        from cdc_cli.publish.confluent import ConfluentPublisher

        return ConfluentPublisher(confluent_options(settings), settings)
    from cdc_cli.publish.kafka_python import KafkaPythonPublisher

    return KafkaPythonPublisher(python_options(settings), settings, SystemClock())


def consumer_of(driver: str, settings: KafkaSettings, topic: str) -> Consumer:
    def topics() -> frozenset[str]:
        return frozenset({topic})

    if driver == "confluent":
        from cdc_cli.consume.confluent import ConfluentConsumer

        return ConfluentConsumer(confluent_options(settings), settings, f"{topic}.group", topics)
    from cdc_cli.consume.kafka_python import KafkaPythonConsumer

    return KafkaPythonConsumer(python_options(settings), settings, f"{topic}.group", topics)


@pytest.fixture(params=["kafka-python", "confluent"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    chosen: str = request.param
    if chosen == "confluent":
        pytest.importorskip("confluent_kafka")
        monkeypatch.setattr("cdc_cli.publish.confluent._CONNECT_SECONDS", CONNECT_SECONDS)
        monkeypatch.setattr("cdc_cli.consume.confluent._CONNECT_SECONDS", CONNECT_SECONDS)
    return chosen


@pytest.mark.requirement("R2.1", "R4.1")
@pytest.mark.parametrize("settings_of", [with_tls, with_login])
def test_topics_are_made_filled_and_read_over_tls_also_after_a_login_with_scram(
    broker: SecureKafka, authority: Authority, driver: str, unique: str, settings_of: Callable[..., KafkaSettings]
) -> None:
    settings = settings_of(broker, authority)
    admin = KafkaPythonAdmin(python_options(settings), settings.create_topics)
    admin.ensure([unique])
    assert unique in admin.names()
    admin.close()
    publisher = publisher_of(driver, settings)
    publisher.start()
    deliveries = [publisher.send(Record(unique, b"%d" % n, b"v%d" % n)) for n in range(20)]
    assert publisher.flush(20)
    assert [delivery.exception for delivery in deliveries] == [None] * 20
    publisher.close(5)
    assert sorted(read_all(driver, settings, unique, 20)) == sorted(b"v%d" % n for n in range(20))


def read_all(driver: str, settings: KafkaSettings, topic: str, count: int) -> list[bytes | None]:
    consumer = consumer_of(driver, settings, topic)
    consumer.start()
    values: list[bytes | None] = []

    def arrived() -> bool:
        for records in consumer.poll(0.1, 100).values():
            values.extend(record.value for record in records)
        change = consumer.rebalance()
        for partition in change.assigned if change else ():
            consumer.seek(partition, 0)
        return len(values) >= count

    eventually(arrived, 40)
    consumer.commit({Partition(topic, 0): 1})
    consumer.close(5)
    return values


def refused(call: Callable[[], object]) -> CdcError:
    with pytest.raises(CdcError) as caught:
        call()
    told = f"{caught.value.message} {caught.value.hint}"
    assert "canary" not in told
    assert "\n" not in told
    return caught.value


@pytest.mark.requirement("R12.5")
def test_a_broker_with_a_strange_certificate_is_a_mistake_in_the_configuration(
    broker: SecureKafka, authority: Authority, stranger: Authority, driver: str
) -> None:
    by_other_name = with_tls(broker, authority).model_copy(
        update={"bootstrap_servers": [broker.tls.replace("127.0.0.1", "localhost")]}
    )
    for settings in (with_tls(broker, stranger), by_other_name):
        publisher = publisher_of(driver, settings)
        error = refused(publisher.start)
        publisher.close(0)
        assert isinstance(error, ConfigError)
        assert error.code == "kafka.tls"
        assert "kafka.security" in error.hint


def test_the_name_in_the_certificate_does_not_matter_when_check_hostname_is_off(
    broker: SecureKafka, authority: Authority, stranger: Authority, driver: str
) -> None:
    settings = with_tls(broker, authority, check_hostname=False).model_copy(
        update={"bootstrap_servers": [broker.tls.replace("127.0.0.1", "localhost")]}
    )
    publisher = publisher_of(driver, settings)
    publisher.start()
    publisher.close(0)


@pytest.mark.requirement("R12.5")
def test_a_wrong_password_is_denied_and_never_shown(
    broker: SecureKafka, authority: Authority, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    caplog.set_level("INFO", "kafka")  # as the product does: at DEBUG it logs whole requests
    settings = with_login(broker, authority, password="canary-wrong-password")
    publisher, consumer = publisher_of(driver, settings), consumer_of(driver, settings, "t")
    for error in (refused(publisher.start), refused(consumer.start)):
        # kafka-python loses the answer when the broker closes the connection right behind it
        assert isinstance(error, Denied) or (driver == "kafka-python" and isinstance(error, Retryable)), error
        assert "kafka.security" in error.hint
    publisher.close(0)
    consumer.close(1)
    assert "canary" not in caplog.text


@pytest.mark.requirement("R12.2")
def test_a_broker_that_is_silent_in_the_handshake_is_not_waited_for_without_end(
    broker: SecureKafka, authority: Authority, driver: str, proxied: Callable[[int], Proxy]
) -> None:
    proxy = proxied(broker.listeners[1].port)
    proxy.blackhole()
    settings = kafka_settings(proxy.address, security={"protocol": "SSL", "ca_file": str(authority.file)})
    publisher = publisher_of(driver, settings)
    ended = threading.Event()

    def start() -> None:
        assert isinstance(refused(publisher.start), Retryable)
        ended.set()

    thread = threading.Thread(target=start, name="start", daemon=True)
    thread.start()
    assert ended.wait(5 * CONNECT_SECONDS)
    thread.join()
    publisher.close(0)


def test_the_admin_says_the_same(broker: SecureKafka, authority: Authority, stranger: Authority) -> None:
    settings = with_tls(broker, stranger)
    error = refused(KafkaPythonAdmin(python_options(settings), settings.create_topics).names)
    assert error.code == "kafka.tls"


def ask(probe: Probe, **sections: Any) -> Outcome:
    base: dict[str, Any] = {
        "mongodb": {"uri": f"mongodb://{NOWHERE}"},
        "kafka": {"bootstrap_servers": [NOWHERE]},
        "postgres": {"dsn": "host=127.0.0.1 port=1"},
    }
    (outcome,) = run_probes(Settings.model_validate({**base, **sections}), PROBE_SECONDS, {"server": probe})
    assert "canary" not in f"{outcome.message} {outcome.hint}"
    return outcome


class TlsMongo(EmbeddedMongo):
    """Starts with TLS allowed, so that it can be set up, and then requires it."""

    certificate: Path
    ca_file: Path

    def _prepare(self) -> list[str]:
        options = ["--tlsMode=allowTLS", f"--tlsCertificateKeyFile={self.certificate}", f"--tlsCAFile={self.ca_file}"]
        return [*super()._prepare(), *options, "--tlsAllowConnectionsWithoutCertificates"]

    def _finish(self) -> None:
        from pymongo import MongoClient

        super()._finish()
        secured = {"tls": True, "tlsCAFile": str(self.ca_file)}
        with MongoClient[Any](self.direct_uri(), **secured) as client:
            for mode in ("preferTLS", "requireTLS"):
                client.admin.command({"setParameter": 1, "tlsMode": mode})


def test_mongodb_that_requires_tls_is_watched_and_a_strange_certificate_is_told(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    from cdc_cli.cli.probes import mongodb

    server = TlsMongo(tmp_path, password="canary-mongo-password")
    server.certificate, server.ca_file = authority.certificate("127.0.0.1"), authority.file
    with started(server):
        good = f"{server.uri}&tls=true&tlsCAFile={authority.file}"
        assert ask(mongodb.probe, mongodb={"uri": good, "database": "game"}).is_fit
        wrong_authority = good.replace(str(authority.file), str(stranger.file))
        wrong_name = f"{server.direct_uri()}&tls=true&tlsCAFile={authority.file}".replace("127.0.0.1", "localhost")
        for uri, said in [(wrong_authority, "certificate verify failed"), (wrong_name, "not valid for 'localhost'")]:
            outcome = ask(mongodb.probe, mongodb={"uri": uri, "database": "game"})
            assert not outcome.is_fit
            assert said in outcome.message, outcome.message
            assert (outcome.error_code, "tlsCAFile" in outcome.hint) == ("mongodb.tls", True), outcome.hint


@contextmanager
def front(authority: Authority, name: str, port: int, postgres: bool = False) -> Iterator[TlsFront]:
    with TlsFront(authority.certificate(name), port, postgres) as made:
        yield made


def test_postgresql_is_written_with_verify_full_and_a_strange_certificate_is_told(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    from cdc_cli.cli.probes import postgres

    with (
        started(EmbeddedPostgres(tmp_path, password="canary-postgres-password")) as server,
        front(authority, "127.0.0.1", server.port, postgres=True) as secured,
        front(authority, "db.example", server.port, postgres=True) as by_other_name,
    ):
        verified = f"sslmode=verify-full&sslrootcert={authority.file}"
        good = f"{server.dsn_for('postgres', secured.port)}?{verified}"
        outcome = ask(postgres.probe, postgres={"dsn": good})
        assert outcome.is_fit, outcome.message
        strange = good.replace(str(authority.file), str(stranger.file))
        other = f"{server.dsn_for('postgres', by_other_name.port)}?{verified}"
        for dsn, said in [(strange, "certificate verify failed"), (other, "does not match host name")]:
            outcome = ask(postgres.probe, postgres={"dsn": dsn})
            assert not outcome.is_fit
            assert said in outcome.message, outcome.message
            assert outcome.code == ExitCode.CONFIG, outcome
            assert "postgres.dsn" in outcome.hint
        without = ask(postgres.probe, postgres={"dsn": f"{server.dsn}?{verified}"})
        assert not without.is_fit
        assert "does not support SSL" in without.message


@pytest.mark.requirement("R2.5")
def test_redis_keeps_the_token_over_tls_and_a_strange_certificate_is_told(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    from cdc_cli.checkpoint.redis import RedisTokenStore
    from cdc_cli.cli.probes import redis as module
    from tests.support.tokens import record

    with (
        started(EmbeddedValkey(tmp_path, password="canary-redis-password")) as server,
        front(authority, "127.0.0.1", server.port) as secured,
        front(authority, "redis.example", server.port) as by_other_name,
    ):

        def url(port: int, trusted: Authority) -> str:
            plain = server.url.replace("redis://", "rediss://").replace(f":{server.port}/", f":{port}/")
            return f"{plain}?ssl_ca_certs={trusted.file}"

        def outcome(port: int, trusted: Authority) -> Outcome:
            store = {"backend": "redis", "redis": {"url": url(port, trusted)}}
            return ask(module.probe, token_store=store)

        assert outcome(secured.port, authority).is_fit
        address = url(secured.port, authority)
        store = RedisTokenStore(address, "cdc:tls:", 15.0, 5, "0", SystemClock(), lambda _: False)
        store.acquire()
        saved = record(1)
        store.save(saved)
        loaded = store.load()
        assert loaded is not None and loaded.mark == saved.mark
        store.release()
        for port, trusted, said in [
            (secured.port, stranger, "certificate verify failed"),
            (by_other_name.port, authority, "not valid for '127.0.0.1'"),
        ]:
            told = outcome(port, trusted)
            assert not told.is_fit
            assert said in told.message, told.message
            assert (told.error_code, "ssl_ca_certs" in told.hint) == ("redis.tls", True), told.hint

