"""The limits: the shortest loops that move the same bytes, without any promise. `{"loop": ..., "events": N, ...}`."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import orjson
import psycopg2
import pymongo
from bson import ObjectId, Timestamp

from tests.bench.measure import Meter

STAGE = 'CREATE TEMP TABLE stage (id text COLLATE "C", doc jsonb, pos text COLLATE "C") ON COMMIT DELETE ROWS'
UPSERT = """INSERT INTO bare SELECT id, doc, pos FROM stage ORDER BY id ON CONFLICT (id) DO UPDATE
    SET doc = excluded.doc, pos = excluded.pos WHERE bare.pos < excluded.pos"""


def default(value: Any) -> Any:
    return {"$oid": str(value)} if isinstance(value, ObjectId) else str(value)


def producer(bootstrap: str, client: str) -> tuple[Any, Any]:
    """(send(topic, key, value), flush) of the driver."""
    if client == "confluent":
        from confluent_kafka import Producer

        rdkafka = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "message.max.bytes": 20 << 20}
        )

        def send(topic: str, key: bytes, value: bytes) -> None:
            while True:
                try:
                    return rdkafka.produce(topic, value, key)
                except BufferError:
                    rdkafka.poll(0.01)

        return send, lambda: rdkafka.flush(60)
    from kafka import KafkaProducer

    python = KafkaProducer(
        bootstrap_servers=[bootstrap], acks="all", linger_ms=5, batch_size=512 * 1024, max_request_size=20 << 20
    )
    return lambda topic, key, value: python.send(topic, value=value, key=key), lambda: python.flush(60)


def watch(arguments: dict[str, Any]) -> None:
    """Change stream -> JSON -> Kafka, nothing else."""
    client = pymongo.MongoClient(arguments["mongodb"])
    send, flush = producer(arguments["kafka"], arguments["client"])
    events, seen, meter = arguments["events"], 0, Meter()
    meter.start()
    start = Timestamp(*arguments["start_at"])
    with client[arguments["database"]].watch(
        batch_size=5000, start_at_operation_time=start, max_await_time_ms=500, full_document="updateLookup"
    ) as stream:
        while seen < events:
            change = stream.try_next()
            if change is not None:
                key = str(change["documentKey"]["_id"]).encode()
                send(arguments["topic"], key, orjson.dumps(change, default=default))
                seen += 1
    flush()
    meter.stop(events)


def batches(arguments: dict[str, Any]) -> Any:
    """Lists of (key, value) from the topic."""
    if arguments["client"] == "confluent":
        from confluent_kafka import Consumer

        rdkafka = Consumer(
            {
                "bootstrap.servers": arguments["kafka"],
                "group.id": arguments["group"],
                "auto.offset.reset": "earliest",
            }
        )
        rdkafka.subscribe([arguments["topic"]])
        while True:
            yield [(m.key(), m.value()) for m in rdkafka.consume(4000, 0.5) if not m.error()]
    from kafka import KafkaConsumer

    python = KafkaConsumer(
        arguments["topic"],
        bootstrap_servers=[arguments["kafka"]],
        group_id=arguments["group"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=4000,
        max_partition_fetch_bytes=2 << 20,
    )
    while True:
        found = python.poll(timeout_ms=500)
        yield [(record.key, record.value) for records in found.values() for record in records]


def write(connection: Any, records: list[tuple[bytes, bytes]]) -> None:
    rows = {}
    for key, value in records:
        event = orjson.loads(value)
        rows[key] = (orjson.dumps(event["doc"]), event["pos"].encode())
    text = b"".join(
        b"%b\t%b\t%b\n" % (key, doc.replace(b"\\", b"\\\\"), pos) for key, (doc, pos) in rows.items()
    )
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY stage FROM STDIN", BytesIO(text), 1 << 20)
        cursor.execute(UPSERT)
    connection.commit()


def sync(arguments: dict[str, Any]) -> None:
    """Kafka -> orjson -> COPY and guarded upsert, four threads, batches of a thousand and more."""
    connections = [psycopg2.connect(arguments["postgres"]) for _ in range(4)]
    with connections[0].cursor() as cursor:
        cursor.execute('CREATE TABLE bare (id text COLLATE "C" PRIMARY KEY, doc jsonb, pos text COLLATE "C")')
    connections[0].commit()
    for connection in connections:
        with connection.cursor() as cursor:
            cursor.execute(STAGE)
        connection.commit()
    events, seen, meter = arguments["events"], 0, Meter()
    locks = [threading.Lock() for _ in connections]

    def work(number: int, records: list[tuple[bytes, bytes]]) -> None:
        with locks[number]:
            write(connections[number], records)

    with ThreadPoolExecutor(4) as pool:
        waiting: list[Any] = []
        for records in batches(arguments):
            if not seen and records:
                meter.start()
            seen += len(records)
            shares: list[list[tuple[bytes, bytes]]] = [[], [], [], []]
            for record in records:
                shares[hash(record[0]) % 4].append(record)
            waiting = [future for future in waiting if not future.done()]
            waiting += [pool.submit(work, n, share) for n, share in enumerate(shares) if share]
            if len(waiting) > 16:
                waiting[0].result()
            if seen >= events:
                break
        for future in waiting:
            future.result()
        meter.stop(events)


def copy(arguments: dict[str, Any]) -> None:
    """Bare COPY of ready rows into the table: what PostgreSQL takes at most, insert only, one connection.

    The rows are those of the topic, read and made ready before the clock starts.
    """
    events, lines = arguments["events"], list[bytes]()
    for records in batches({**arguments, "client": "confluent", "group": f"copy-{time.time()}"}):
        for key, value in records:
            event = orjson.loads(value)
            doc = orjson.dumps(event["doc"]).replace(b"\\", b"\\\\")
            lines.append(b"%b\t%b\t%b\n" % (key, doc, event["pos"].encode()))
        if len(lines) >= events:
            break
    chunks = [b"".join(lines[start : start + 5000]) for start in range(0, events, 5000)]
    del lines
    connection, meter = psycopg2.connect(arguments["postgres"]), Meter()
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE copied (id text COLLATE "C" PRIMARY KEY, doc jsonb, pos text COLLATE "C")')
        connection.commit()
        meter.start()
        for rows in chunks:
            cursor.copy_expert("COPY copied FROM STDIN", BytesIO(rows), 1 << 20)
            connection.commit()
    meter.stop(events)


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    given = json.loads(sys.argv[1])
    {"watch": watch, "sync": sync, "copy": copy}[given["loop"]](given)
