"""Records that nobody can understand, put between the real ones by a stranger."""

from __future__ import annotations

import time

from kafka import KafkaProducer
from kafka.errors import KafkaError

_EVERY = 15.0


class Poison:
    """Each planted record has a key of its own and must be found in the dead-letter topic."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._due = 0.0
        self.planted: list[str] = []
        self.tried: set[str] = set()

    def plant(self) -> None:
        """Now and then, while Kafka is well."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY
        self.plant_now()

    def plant_now(self) -> None:
        """One more."""
        key = f"poison-{len(self.tried)}"
        self.tried.add(key)
        producer = KafkaProducer(bootstrap_servers=self._bootstrap, max_block_ms=3000, acks="all")
        try:
            producer.send(self._topic, value=b'{"bad', key=key.encode()).get(timeout=5)
            self.planted.append(key)
        except KafkaError:
            pass
        finally:
            producer.close(timeout=2)
