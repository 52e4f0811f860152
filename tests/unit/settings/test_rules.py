"""What one value alone or several together cannot be, and what works but is probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.conftest import Findings, Load

SASL = "kafka: {security: {protocol: SASL_SSL, mechanism: PLAIN, username: u, password: canary-pw}}"

ERRORS = [
    ("mongodb: {uri: 'localhost:27017'}", "mongodb.uri"),
    ("mongodb: {uri: 'mongodb://u:canary@x/y@h'}", "mongodb.uri"),
    ("mongodb: {uri: 'mongodb://u:canary/x@h'}", "mongodb.uri"),
    ("mongodb: {database: admin}", "mongodb.database"),
    ("mongodb: {database: a b}", "mongodb.database"),
    ("mongodb: {database: ''}", "mongodb.database"),
    ("mongodb: {collections: []}", "mongodb.collections"),
    ("mongodb: {collections: ['']}", "mongodb.collections"),
    ("mongodb: {collections: [$cmd]}", "mongodb.collections"),
    ("mongodb: {operations: []}", "mongodb.operations"),
    ("watcher: {start_from: yesterday}", "watcher.start_from"),
    ("watcher: {shard: 0/4}", "watcher.shard"),
    ("watcher: {shard: 5/4}", "watcher.shard"),
    ("watcher: {shard: 1/65}", "watcher.shard"),
    ("watcher: {shard: 01/4}", "watcher.shard"),
    ("watcher: {shard: 1-4}", "watcher.shard"),
    ("watcher: {start_from: 2026-13-01}", "watcher.start_from"),
    ("watcher: {start_from: 1969-01-01}", "watcher.start_from"),
    ("kafka: {bootstrap_servers: [localhost]}", "kafka.bootstrap_servers"),
    ("kafka: {bootstrap_servers: ['kafka://h:9092']}", "kafka.bootstrap_servers"),
    ("kafka: {bootstrap_servers: ['h:99999']}", "kafka.bootstrap_servers"),
    ("kafka: {topic: 'cdc.{db}.x'}", "kafka.topic"),
    ("kafka: {topic: 'cdc {collection}'}", "kafka.topic"),
    ("kafka: {topic: '{database}{collection}'}", "kafka.topic"),
    ("kafka: {topic: '{database'}", "kafka.topic"),
    ("kafka: {topic: '..'}", "kafka.topic"),
    ("dead_letter: {topic: 'a/b'}", "dead_letter.topic"),
    ("dead_letter: {topic: 'dlq.{database}'}", "dead_letter.topic"),
    ("dead_letter: {topic: cdc.game.players}", "dead_letter.topic"),
    ("dead_letter: {topic: cdc.game.players}\nmongodb: {collections: ['play*']}", "dead_letter.topic"),
    ("kafka: {topic: all}\ndead_letter: {topic: all}", "dead_letter.topic"),
    ("kafka: {security: {username: u}}", "kafka.security.username"),
    ("kafka: {security: {ca_file: x}}", "kafka.security.ca_file"),
    ("kafka: {security: {protocol: SSL, key_file: /etc/hostname}}", "kafka.security.certificate_file"),
    ("kafka: {security: {protocol: SSL, ca_file: /nowhere.pem}}", "kafka.security.ca_file"),
    ("kafka: {security: {mechanism: GSSAPI}}", "kafka.security.mechanism"),
    ("kafka: {consumer: {session_timeout: 5m}}", "kafka.consumer.session_timeout"),
    ("kafka: {consumer: {group_id: ''}}", "kafka.consumer.group_id"),
    ("postgres: {dsn: ''}", "postgres.dsn"),
    ("postgres: {dsn: mysql://h/d}", "postgres.dsn"),
    ("postgres: {dsn: 'host=h password=can ary'}", "postgres.dsn"),
    ("postgres: {schema: pg_catalog}", "postgres.schema"),
    ("postgres: {schema: cdc}", "postgres.schema"),
    ("postgres: {pool: {min: 51}}", "postgres.pool.min"),
    ("postgres: {max_concurrent_writes: 51}", "postgres.max_concurrent_writes"),
    ("token_store: {redis: {url: localhost}}", "token_store.redis.url"),
    ("token_store: {redis: {key_prefix: '{x}'}}", "token_store.redis.key_prefix"),
    ("alerts: {webhook: example.com}", "alerts.webhook"),
    ("http: {bind: localhost}", "http.bind"),
    ("syncer: {batch: {max_rows: 60000}}", "syncer.batch.max_rows"),
    ("syncer: {shutdown_timeout: 0}", "syncer.shutdown_timeout"),
    ("watcher: {shutdown_timeout: 0s}", "watcher.shutdown_timeout"),
    ("watcher: {max_in_flight: {size: 0}}", "watcher.max_in_flight.size"),
    ("retry: {initial: 20s}", "retry.initial"),
    ("retry: {multiplier: 0.5}", "retry.multiplier"),
    ("dead_letter: {max_fraction: 0.0}", "dead_letter.max_fraction"),
    ("name: -x", "name"),
    ("version: 2", "version"),
]


@pytest.mark.requirement("R11.5")
@pytest.mark.parametrize(("text", "path"), ERRORS)
def test_a_value_that_cannot_work_is_an_error_at_its_key(errors_of: Findings, text: str, path: str) -> None:
    (found,) = errors_of(text)
    assert found.path.partition("[")[0] == path
    assert found.origin.kind == "file"
    assert found.message
    assert "canary" not in found.text


def test_sasl_needs_mechanism_username_and_password(errors_of: Findings, load_text: Load) -> None:
    found = errors_of("kafka: {security: {protocol: SASL_PLAINTEXT}}")
    assert [f.path.rpartition(".")[2] for f in found] == ["mechanism", "username", "password"]
    assert {f.code for f in found} == {"config.missing"}
    assert load_text(SASL).settings.kafka.security.mechanism == "PLAIN"


SSL = "kafka: {security: {protocol: SSL, check_hostname: false}}"

WARNINGS = [
    ("mongodb: {full_document: default}", "partial_updates", "mongodb.full_document"),
    ("mongodb: {full_document: whenAvailable}", "partial_updates", "mongodb.full_document"),
    ("mongodb: {operations: [insert]}", "partial_operations", "mongodb.operations"),
    ("mongodb: {collections: [game.players]}", "names_database", "mongodb.collections"),
    ("mongodb: {database: null, collections: [players]}", "every_database", "mongodb.collections"),
    ("postgres: {pool: {min: 2, max: 7}}", "workers_wait", "syncer.workers"),
    ("syncer: {batch: {max_rows: 10000}}", "small_buffer", "syncer.batch.max_rows"),
    ("syncer: {tombstone_retention: 1d}", "short_tombstones", "syncer.tombstone_retention"),
    ("http: {enabled: true, bind: '0.0.0.0:9464'}", "public_status", "http.bind"),
    ("http: {enabled: true, bind: ':9464'}", "public_status", "http.bind"),
    (SASL.replace("SASL_SSL", "SASL_PLAINTEXT"), "password_in_clear", "kafka.security.protocol"),
    (SSL, "unchecked_hostname", "kafka.security.check_hostname"),
]


@pytest.mark.parametrize(("text", "code", "path"), WARNINGS)
def test_what_is_probably_not_meant_is_a_warning(load_text: Load, text: str, code: str, path: str) -> None:
    (found,) = load_text(text).warnings
    assert (found.severity, found.code, found.path) == ("warning", f"config.{code}", path)


@pytest.mark.parametrize(
    "text",
    [
        "mongodb: {database: null, collections: [game.players, '*.fs.files', '*']}",
        "mongodb: {uri: 'mongodb+srv://u:p%40ss@cluster.example.com/?retryWrites=true'}",
        "postgres: {dsn: \"host=h password='two words' dbname=d\"}",
        "postgres: {dsn: 'postgresql://u:p%2Fw@h:5432/d?sslmode=require'}",
        "watcher: {start_from: oldest}",
        "watcher: {start_from: '2026-11-23T06:00:00+02:00'}",
        "kafka: {topic: '{name}.{database}-{collection}', bootstrap_servers: ['[::1]:9092', 'h.example:1']}",
        "kafka: {topic: events}",
        "kafka: {producer: {linger: 0}}",
        "http: {enabled: true, bind: '[::1]:9464'}",
        "token_store: {backend: redis, redis: {url: 'unix:///run/redis.sock'}}",
        "mongodb: {database: null}\ndead_letter: {topic: cdc.dlq.game}",
    ],
)
def test_what_works_is_neither(load_text: Load, text: str) -> None:
    assert load_text(text).warnings == ()


def test_a_certificate_that_is_there_is_accepted_and_offline_it_need_not_be(load_text: Load) -> None:
    text = "kafka: {security: {protocol: SSL, ca_file: ca.pem, certificate_file: c.pem, key_file: k.pem}}"
    assert load_text(text, offline=True).warnings == ()
    for name in ("ca.pem", "c.pem", "k.pem"):
        Path(name).touch()
    assert load_text(text).settings.kafka.security.ca_file == "ca.pem"
