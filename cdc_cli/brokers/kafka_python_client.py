"""Making kafka-python's clients so that a failed attempt leaves nothing behind and says why.

Known of 3.0.12: a constructor that cannot reach the brokers raises and forgets the thread, the selector and the
pair of sockets that it has already started; in a long outage every attempt would add to them (invariant I7). And it
says "unable to bootstrap" whatever the reason, also when a broker refused the password or showed a wrong certificate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from cdc_cli.brokers.kafka_python_connections import net_client
from cdc_cli.brokers.kafka_python_errors import translate
from cdc_cli.errors import Retryable

_T = TypeVar("_T")
log = logging.getLogger(__name__)


class Producer(KafkaProducer):  # type: ignore[misc]
    """A producer that is closed by its owner only."""

    def __del__(self) -> None:
        """The driver's own replaces its module's logger, for all producers, by one that breaks on `exc_info`."""


def make(kind: Callable[..., _T], options: Mapping[str, Any]) -> _T:
    """`kind(**options)`, one of kafka-python's clients. Raises what the constructor raises, after cleaning up, or
    the reason for which the last broker did not let us in.
    """
    begun: list[Any] = []

    def connect(**configs: Any) -> Any:
        begun.append(net_client(**configs))
        return begun[-1]

    try:
        made = kind(**options, kafka_client=connect)
    except BaseException as exc:
        reasons = [reason for client in begun for reason in client._manager.reasons]
        for client in begun:
            _close_quietly(client)
        if reasons and isinstance(exc, KafkaTimeoutError):
            raise _telling(reasons) from exc
        raise
    for client in begun:
        client._manager.reasons = None
    return made


def _telling(reasons: Sequence[Exception]) -> Exception:
    """The last reason that a retry does not mend, otherwise the last one."""
    lasting = (reason for reason in reversed(reasons) if not isinstance(translate("", reason), Retryable))
    return next(lasting, reasons[-1])


def _close_quietly(client: Any) -> None:
    try:
        client.close()
    except Exception as exc:
        log.debug("closing what a failed connection left: %s", exc)
