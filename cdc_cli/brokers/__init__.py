"""What publishing and consuming share about Kafka: errors sorted once, topics created and found.

The contract is `TopicAdmin`; it is used at start and when a new collection appears, never per event.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class TopicAdmin(Protocol):
    """Looks after topics; every call blocks for network time and raises Retryable, Denied, ConfigError."""

    def ensure(self, topics: Collection[str]) -> None:
        """Create those that are missing, as `kafka.create_topics` says; ConfigError when that is not enabled."""
        ...

    def names(self) -> frozenset[str]:
        """All topics that we may see, without Kafka's internal ones."""
        ...

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Kafka's ids of those that exist, as its own tools print them: a topic that was deleted and made anew has
        another one (KIP-516). A broker without such ids (Kafka before 2.8) gives none.
        """
        ...

    def close(self) -> None: ...
