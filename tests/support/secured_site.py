"""The whole site with access control everywhere: TLS and SCRAM to Kafka, passwords elsewhere, least rights.

Every user has exactly what the README grants under Rights, and every secret is a canary that must be seen nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kafka.admin import ACLOperation, ResourceType

from cdc_cli.apply.rights import LEAST
from cdc_cli.demo.servers import EmbeddedMongo, EmbeddedPostgres, EmbeddedValkey
from tests.support.fixtures import started
from tests.support.pipeline import Config
from tests.support.rows import query
from tests.support.secure_kafka import SecureKafka
from tests.support.tls import Authority

CANARIES: Mapping[str, str] = {
    "mongodb": "canary-mongo-p%ss/@:",
    "kafka": "canary-kafka-4711",
    "postgres": "canary-pg-p%ss/@:'",
    "redis": "canary-redis-p%ss/@:",
    "webhook": "canary-webhook-path",
}
WATCHER, SYNCER = "watcher", "syncer"
_REDIS_RIGHTS = """\
+eval +get +set +exists +del +incr +pexpire +pttl +hget +hmget +hset +lpush +ltrim +lrange +select +client|setname
+client|setinfo +config|get
"""
_TABLE = """\
CREATE TABLE public.players (_id text COLLATE "C", _id_type text COLLATE "C", document jsonb,
  cdc_position text COLLATE "C", cdc_time timestamptz, cdc_deleted_at timestamptz, PRIMARY KEY (_id, _id_type))
"""


class SecuredSite:
    """The servers, each with its administrator; `config(name)` is what a cautious operator would write."""

    def __init__(
        self, authority: Authority, kafka: SecureKafka, mongo: EmbeddedMongo, postgres: EmbeddedPostgres,
        valkey: EmbeddedValkey,
    ) -> None:
        self.authority, self.kafka, self.mongo, self.postgres, self.valkey = authority, kafka, mongo, postgres, valkey

    @property
    def target(self) -> str:
        """The database `game`, as its administrator sees it."""
        return self.postgres.dsn_for("game")

    def config(self, name: str, user: str, **secrets: str) -> Config:
        """`user` is the one in Kafka; `secrets` replace the right ones."""
        chosen = {key: quote(value, safe="") for key, value in {**CANARIES, **secrets}.items()}
        return {
            "name": name,
            "mongodb": {
                "uri": f"mongodb://cdc:{chosen['mongodb']}@{self.mongo.address}/?replicaSet=rs0&authSource=admin",
                "database": "game",
            },
            "kafka": {
                "bootstrap_servers": [self.kafka.login],
                "security": {
                    "protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "username": user,
                    "password": secrets.get("kafka", CANARIES["kafka"]), "ca_file": str(self.authority.file),
                },
                "create_topics": {"partitions": 2},
                "consumer": {"session_timeout": "6s"},
            },
            "postgres": {
                "dsn": f"postgresql://cdc_writer:{chosen['postgres']}@{self.postgres.address}/game",
                "pool": {"min": 1, "max": 4},
            },
            "token_store": {
                "backend": "redis",
                "redis": {"url": f"redis://cdc:{chosen['redis']}@{self.valkey.address}/0", "lease": "2s"},
            },
            "syncer": {"workers": 2, "batch": {"max_wait": "100ms"}, "shutdown_timeout": "10s"},
            "watcher": {"heartbeat": "1s", "shutdown_timeout": "10s"},
            "retry": {"max_delay": "1s"},
            "alerts": {"webhook": f"http://127.0.0.1:1/{chosen['webhook']}"},
            "logging": {"level": "debug", "format": "json"},
        }

    def grant_kafka(self, name: str) -> None:
        """README, Rights in Kafka."""
        topics, dead_letters, group = "cdc.", f"cdc.dlq.{name}", f"cdc-sync-{name}"
        create = (ResourceType.TOPIC, topics, ACLOperation.CREATE)
        self.kafka.allow(WATCHER, create, (ResourceType.TOPIC, topics, ACLOperation.WRITE))
        self.kafka.allow(
            SYNCER,
            create,
            (ResourceType.TOPIC, topics, ACLOperation.READ),
            (ResourceType.TOPIC, dead_letters, ACLOperation.WRITE),
            (ResourceType.GROUP, group, ACLOperation.READ),
        )


@contextmanager
def secured_site(folder: Path) -> Iterator[SecuredSite]:
    """Starts the four servers and makes the users."""
    authority = Authority(folder / "authority")
    with ExitStack() as running:
        kafka = running.enter_context(started(SecureKafka(folder / "kafka", authority)))
        mongo = running.enter_context(started(EmbeddedMongo(folder / "mongodb", password="root-of-mongodb")))
        postgres = running.enter_context(started(EmbeddedPostgres(folder / "postgresql", password="root-of-postgres")))
        valkey = running.enter_context(started(EmbeddedValkey(folder / "valkey", password="root-of-redis")))
        for user in (WATCHER, SYNCER):
            kafka.add_user(user, CANARIES["kafka"])
        _make_users(mongo, postgres, valkey)
        yield SecuredSite(authority, kafka, mongo, postgres, valkey)


def _make_users(mongo: EmbeddedMongo, postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    import redis
    from pymongo import MongoClient

    with MongoClient[Any](mongo.uri) as client:
        roles = [{"role": "read", "db": "game"}]
        client.admin.command("createUser", "cdc", pwd=CANARIES["mongodb"], roles=roles)
    query(postgres.dsn, "CREATE ROLE cdc_writer LOGIN PASSWORD %s", CANARIES["postgres"])
    query(postgres.dsn, "CREATE DATABASE game")
    target = postgres.dsn_for("game")
    query(target, "REVOKE ALL ON DATABASE game FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")
    query(target, _TABLE + ";" + LEAST)
    with redis.Redis.from_url(valkey.url) as administrator:
        administrator.execute_command(
            "ACL", "SETUSER", "cdc", "on", f">{CANARIES['redis']}", "~cdc:game:*", *_REDIS_RIGHTS.split()
        )


