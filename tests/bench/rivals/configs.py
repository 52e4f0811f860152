"""How the rivals are configured: for throughput, with acks=all, at least once, and the order of each document kept."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from tests.bench.rivals.connect import Properties
from tests.bench.site import Site, Start

_JSON = "org.apache.kafka.connect.json.JsonConverter"
_STRING = "org.apache.kafka.connect.storage.StringConverter"

# The batches of `cdc watch`: 512 KB, 5 ms, no compression; idempotent, so that five requests may be under way.
_PRODUCER = {
    "producer.override.acks": "all",
    "producer.override.enable.idempotence": "true",
    "producer.override.max.in.flight.requests.per.connection": "5",
    "producer.override.batch.size": str(512 * 1024),
    "producer.override.linger.ms": "5",
    "producer.override.buffer.memory": str(128 << 20),
    "producer.override.compression.type": "none",
    "producer.override.max.request.size": str(20 << 20),
}


_ID = {"name": "_id", "type": "string"}

_KEY = {"type": "struct", "optional": False, "fields": [{"field": "id", "type": "string", "optional": False}]}
_ROW = {
    "type": "struct",
    "optional": False,
    "fields": [
        {"field": "doc", "type": "string", "optional": True, "name": "io.debezium.data.Json", "version": 1},
        {"field": "pos", "type": "string", "optional": False},
    ],
}


def debezium_source(site: Site, database: str, start: Start, prefix: str) -> Properties:
    """The envelope with the document as JSON text in `after`; the key is the document's `_id`."""
    return {
        "connector.class": "io.debezium.connector.mongodb.MongoDbConnector",
        "mongodb.connection.string": site.mongo.uri,
        "topic.prefix": prefix,
        "capture.scope": "database",
        "capture.target": database,
        "collection.include.list": f"{database}.players",
        "capture.mode": "change_streams_update_full",
        "capture.start.op.time": str((start[0] << 32) | start[1]),
        "snapshot.mode": "no_data",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        "poll.interval.ms": "10",
        "key.converter": _JSON,
        "key.converter.schemas.enable": "false",
        "value.converter": _JSON,
        "value.converter.schemas.enable": "false",
        **_PRODUCER,
    }


def mongo_source(site: Site, database: str, start: Start, prefix: str) -> Properties:
    """The change event as JSON text. Its default key is the resume token, which would spread the changes of a document
    over all partitions, so it is told to take the document's key.
    """
    field = {"name": "documentKey", "type": {"type": "record", "name": "id", "fields": [_ID]}}
    return {
        "connector.class": "com.mongodb.kafka.connect.MongoSourceConnector",
        "connection.uri": site.mongo.uri,
        "database": database,
        "collection": "players",
        "topic.prefix": prefix,
        "startup.mode": "timestamp",
        "startup.mode.timestamp.start.at.operation.time": json.dumps({"$timestamp": {"t": start[0], "i": start[1]}}),
        "change.stream.full.document": "updateLookup",
        "poll.max.batch.size": "8192",
        "poll.await.time.ms": "100",
        "batch.size": "5000",
        "output.format.key": "schema",
        "output.schema.key": json.dumps({"type": "record", "name": "key", "fields": [field]}),
        "output.format.value": "json",
        "output.json.formatter": "com.mongodb.kafka.connect.source.json.formatter.SimplifiedJson",
        "key.converter": _JSON,
        "key.converter.schemas.enable": "false",
        "value.converter": _STRING,
        **_PRODUCER,
    }


def debezium_sink(topic: str, dsn: str, tasks: int, unnest: bool) -> Properties:
    """Rows (id, doc, pos) into the table `rows`: one upsert a key in each batch, at least once. The schema is given
    here and not in each record (Kafka 4.2 and later can), which is the least that there is to be parsed.
    """
    parts = urlsplit(dsn)
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "topics": topic,
        "tasks.max": str(tasks),
        "connection.url": f"jdbc:postgresql://{parts.hostname}:{parts.port}{parts.path}?reWriteBatchedInserts=true",
        "connection.username": "postgres",
        "connection.password": "postgres",
        "connection.pool.min_size": "1",
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "primary.key.mode": "record_key",
        "primary.key.fields": "id",
        "collection.name.format": "rows",
        "schema.evolution": "none",
        "use.reduction.buffer": "true",
        "batch.size": "5000",
        "dialect.postgres.unnest.insert.enabled": str(unnest).lower(),
        "key.converter": _JSON,
        "key.converter.schemas.enable": "true",
        "key.converter.schema.content": json.dumps(_KEY),
        "value.converter": _JSON,
        "value.converter.schemas.enable": "true",
        "value.converter.schema.content": json.dumps(_ROW),
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.max.poll.records": "5000",
        "consumer.override.max.partition.fetch.bytes": str(4 << 20),
    }
