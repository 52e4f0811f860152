"""What publishing and consuming share about Kafka: errors sorted once, topics created and found.

The contract is `TopicAdmin`; it is used at start and when a new collection appears, never per event.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class TopicAdmin(Protocol):
    """Looks after topics; every call blocks for network time and raises Retryable, Denied, ConfigError."""

    def ensure(self, topics: Collection[str]) -> None:
        """Create those that are missing, as `kafka.create_topics` says; ConfigError when that is not enabled."""
        ...

    def names(self) -> frozenset[str]:
        """All topics that we may see, without Kafka's internal ones."""
        ...

    def close(self) -> None: ...
