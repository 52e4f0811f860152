"""The names that the parts of the demonstration share."""

from __future__ import annotations

NAME = "demo"
"""The pipeline's name."""
DATABASE = "game"
GAME_COLLECTIONS = ("players", "inventories", "matches")
PROBES = "probes"
"""The collection of the marker documents that measure the latency."""
COLLECTIONS = (*GAME_COLLECTIONS, PROBES)
DEAD_LETTERS = f"cdc.dlq.{NAME}"


def topic(collection: str) -> str:
    """The Kafka topic of a collection, by the default template."""
    return f"cdc.{DATABASE}.{collection}"
