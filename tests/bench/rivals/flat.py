"""The same events as a JDBC sink can take them.

Key = {"id": the document's id as text}; value = {"doc": the document as JSON text, "pos": the position as text}.
"""

from __future__ import annotations

from typing import Any

import orjson
from confluent_kafka import Consumer, Producer


def copy_flat(arguments: dict[str, Any]) -> None:
    """Copy the first `events` records of the topic `given` to the same partitions of the topic `flat`. Blocks."""
    common = {"bootstrap.servers": arguments["kafka"]}
    consumer = Consumer({**common, "group.id": arguments["flat"], "auto.offset.reset": "earliest"})
    consumer.subscribe([arguments["given"]])
    producer = Producer({**common, "linger.ms": 5, "enable.idempotence": True})
    seen = 0
    while seen < arguments["events"]:
        for message in consumer.consume(4000, 0.5):
            if message.error():
                raise RuntimeError(str(message.error()))
            event = orjson.loads(message.value())
            row = {"doc": orjson.dumps(event["doc"]).decode(), "pos": event["pos"]}
            key = orjson.dumps({"id": message.key().decode()})
            producer.produce(arguments["flat"], orjson.dumps(row), key, message.partition())
            seen += 1
        producer.flush(60)
    consumer.close()
