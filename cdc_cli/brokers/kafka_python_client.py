"""Making kafka-python's clients so that a failed attempt leaves nothing behind.

Known of 3.0.12: a constructor that cannot reach the brokers raises and forgets the thread, the selector and the
pair of sockets that it has already started; in a long outage every attempt would add to them (invariant I7).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka import KafkaProducer
from kafka.net.compat import KafkaNetClient

_T = TypeVar("_T")
log = logging.getLogger(__name__)


class Producer(KafkaProducer):  # type: ignore[misc]
    """A producer that is closed by its owner only."""

    def __del__(self) -> None:
        """The driver's own replaces its module's logger, for all producers, by one that breaks on `exc_info`."""


def make(kind: Callable[..., _T], options: Mapping[str, Any]) -> _T:
    """`kind(**options)`, one of kafka-python's clients; raises what the constructor raises, after cleaning up."""
    begun: list[Any] = []

    def connect(**configs: Any) -> Any:
        begun.append(KafkaNetClient(**configs))
        return begun[-1]

    try:
        return kind(**options, kafka_client=connect)
    except BaseException:
        for client in begun:
            _close_quietly(client)
        raise


def _close_quietly(client: Any) -> None:
    try:
        client.close()
    except Exception as exc:
        log.debug("closing what a failed connection left: %s", exc)
