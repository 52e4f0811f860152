"""Making kafka-python's clients so that a failed attempt leaves nothing behind.

Known of 3.0.12: a constructor that cannot reach the brokers raises and forgets the thread, the selector and the
pair of sockets that it has already started, and a connection that fails keeps its socket until the garbage
collector comes by: in a long outage every attempt would add to them (invariant I7).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka import KafkaProducer
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

_T = TypeVar("_T")
log = logging.getLogger(__name__)


class Producer(KafkaProducer):  # type: ignore[misc]
    """A producer that is closed by its owner only."""

    def __del__(self) -> None:
        """The driver's own replaces its module's logger, for all producers, by one that breaks on `exc_info`."""


class ClosingSocket(KafkaNetSocket):  # type: ignore[misc]
    """Connects directly, like the driver without a proxy, and closes what could not be connected.

    A subclass is known to the driver by the schemes of `proxy_url` that it stands for.
    """

    SCHEMES = ("cdc-direct",)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


def make(kind: Callable[..., _T], options: Mapping[str, Any]) -> _T:
    """`kind(**options)`, one of kafka-python's clients; raises what the constructor raises, after cleaning up."""
    begun: list[Any] = []

    def connect(**configs: Any) -> Any:
        begun.append(KafkaNetClient(**configs))
        return begun[-1]

    try:
        return kind(**options, kafka_client=connect, proxy_url=f"{ClosingSocket.SCHEMES[0]}://")
    except BaseException:
        for client in begun:
            _close_quietly(client)
        raise


def _close_quietly(client: Any) -> None:
    try:
        client.close()
    except Exception as exc:
        log.debug("closing what a failed connection left: %s", exc)
