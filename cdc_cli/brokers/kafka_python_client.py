"""Making kafka-python's clients so that a failed attempt leaves nothing behind.

Known of 3.0.12: a constructor that cannot reach the brokers raises and forgets the thread, the selector and the
pair of sockets that it has already started, and a connection that fails keeps its socket until the garbage
collector comes by: in a long outage every attempt would add to them (invariant I7). And it says "unable to
bootstrap" whatever the reason, also when a broker refused the password or showed a wrong certificate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from cdc_cli.brokers.kafka_python_errors import translate
from cdc_cli.errors import Retryable

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
    """`kind(**options)`, one of kafka-python's clients. Raises what the constructor raises, after cleaning up, or
    the reason for which the last broker did not let us in.
    """
    begun: list[Any] = []
    reasons: list[Exception] = []

    def connect(**configs: Any) -> Any:
        begun.append(KafkaNetClient(**configs))
        _listen(begun[-1]._manager, reasons.append)
        return begun[-1]

    try:
        made = kind(**options, kafka_client=connect, proxy_url=f"{ClosingSocket.SCHEMES[0]}://")
    except BaseException as exc:
        for client in begun:
            _close_quietly(client)
        if reasons and isinstance(exc, KafkaTimeoutError):
            raise _telling(reasons) from exc
        raise
    for client in begun:
        del client._manager.get_connection
    return made


def _telling(reasons: Sequence[Exception]) -> Exception:
    """The last reason that a retry does not mend, otherwise the last one."""
    lasting = (reason for reason in reversed(reasons) if not isinstance(translate("", reason), Retryable))
    return next(lasting, reasons[-1])


def _listen(manager: Any, tell: Callable[[Exception], object]) -> None:
    """Be told why connections fail. The wrapper stays for the time of the first connection only."""
    get_connection = manager.get_connection

    def listened(*args: Any, **kwargs: Any) -> Any:
        connection = get_connection(*args, **kwargs)
        connection.init_future.add_errback(tell)
        return connection

    manager.get_connection = listened


def _close_quietly(client: Any) -> None:
    try:
        client.close()
    except Exception as exc:
        log.debug("closing what a failed connection left: %s", exc)
