"""The servers that everything is measured on, and what a case needs of them."""

from __future__ import annotations

import copy
import uuid
from pathlib import Path
from typing import Any

import psycopg2
import pymongo

from cdc_cli.brokers.kafka_python_admin import KafkaPythonAdmin
from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedPostgres
from cdc_cli.settings.models import TopicSettings
from tests.bench.documents import insert, update
from tests.bench.measure import run_child

Settings = dict[str, Any]
Start = list[int]


class Site:
    """MongoDB, Apache Kafka and PostgreSQL on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mongo = EmbeddedMongo(folder / "mongodb", oplog_mb=16000, cache_gb=1.0)
        self.kafka = ApacheKafka(folder / "kafka")
        tuned = {"max_wal_size": "4GB", "shared_buffers": "256MB", "track_commit_timestamp": "on"}
        self.postgres = EmbeddedPostgres(folder / "postgres", parameters=tuned)

    def settings(self, database: str, **changes: Any) -> Settings:
        """A configuration with a group, a token and a database of its own; `kafka__client` sets `kafka.client`."""
        plain: Settings = {
            "name": f"bench-{uuid.uuid4().hex[:8]}",
            "mongodb": {"uri": self.mongo.uri, "database": database, "collections": ["players"]},
            "kafka": {
                "bootstrap_servers": [self.kafka.bootstrap],
                "client": "kafka-python",
                "topic": f"b{uuid.uuid4().hex[:8]}." + "{database}.{collection}",
            },
            "postgres": {"dsn": self.new_database()},
            "token_store": {"file": {"path": str(self.folder / f"token-{uuid.uuid4().hex[:8]}.json")}},
        }
        for path, value in changes.items():
            *sections, key = path.split("__")
            target = plain
            for section in sections:
                target = target.setdefault(section, {})
            target[key] = value
        return plain

    def new_database(self) -> str:
        name = f"b{uuid.uuid4().hex[:8]}"
        connection = psycopg2.connect(self.postgres.dsn)
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        connection.close()
        return self.postgres.dsn_for(name)

    def fill(self, events: int, kind: str) -> tuple[str, Start]:
        """A database with that many inserts in the oplog; its name and the cluster time before them."""
        database = f"bench_{kind}_{uuid.uuid4().hex[:6]}"
        with pymongo.MongoClient[Any](self.mongo.uri) as client:
            start = client.admin.command("ping")["operationTime"]
            insert(client[database]["players"], events, kind)
        return database, [start.time, start.inc + 1]

    def update(self, database: str, events: int) -> Start:
        """Change that many documents; the cluster time before."""
        with pymongo.MongoClient[Any](self.mongo.uri) as client:
            start = client.admin.command("ping")["operationTime"]
            update(client[database]["players"], events)
        return [start.time, start.inc + 1]

    def create(self, topic: str, partitions: int) -> None:
        admin = KafkaPythonAdmin({"bootstrap_servers": [self.kafka.bootstrap]}, TopicSettings(partitions=partitions))
        admin.ensure([topic])
        admin.close()

    def topic(self, events: int, kind: str, partitions: int) -> Settings:
        """Settings whose topic holds that many inserts, published by the watcher."""
        database, start = self.fill(events, kind)
        given = self.settings(database, kafka__client="confluent", kafka__create_topics={"partitions": partitions})
        self.publish(given, events, start)
        return given

    def publish(self, given: Settings, events: int, start: Start) -> None:
        run_child("ours", {"service": "watch", "settings": given, "events": events, "start_at": start})

    def fresh(self, given: Settings, client: str, workers: int = 8) -> Settings:
        """The same topic for a group and a database of its own."""
        fresh = copy.deepcopy(given)
        fresh["name"] = f"bench-{uuid.uuid4().hex[:8]}"
        fresh["postgres"]["dsn"] = self.new_database()
        fresh["kafka"]["client"] = client
        fresh["syncer"] = {"workers": workers}
        return fresh


def topic_of(given: Settings) -> str:
    """The topic of the collection that is measured."""
    return str(given["kafka"]["topic"]).format(database=given["mongodb"]["database"], collection="players")
