"""Publishing: handing records to Kafka and learning which ones Kafka has acknowledged.

The contract is `Publisher`. A record that was sent ends exactly once: acknowledged, failed, or abandoned by
`rotate`/`close`. Order per key holds because the producer is idempotent and the partition is computed by us.
Nothing here moves a resume token (invariant I4): the tracker in `checkpoint/` does, from what is acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cdc_cli.errors import CdcError

Headers = Sequence[tuple[str, bytes]]


class Record(NamedTuple):
    """What goes to Kafka. `key` decides the partition; None goes to partition 0."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Delivery(Protocol):
    """The fate of one record that was sent, as the driver reports it; reading it never blocks."""

    @property
    def is_done(self) -> bool:
        """True once the record is acknowledged or has failed."""
        ...

    @property
    def exception(self) -> BaseException | None:
        """The driver's error once it has failed; `Publisher.explain` translates it."""
        ...


class Publisher(Protocol):
    """An asynchronous, idempotent producer with acks=all."""

    def start(self) -> None:
        """Create the producer. Blocks for network time; raises Retryable, Denied, ConfigError."""
        ...

    def send(self, record: Record) -> Delivery:
        """Hand over one record without waiting for the broker; it may be held until `poll` or `flush`.

        Raises PoisonEvent when this record can never be sent (too large), Retryable when metadata cannot be had.
        """
        ...

    def explain(self, exception: BaseException) -> CdcError:
        """The driver's error as Retryable, PoisonEvent (this record alone), Denied, ConfigError or Fatal."""
        ...

    def poll(self) -> None:
        """Give what is held to the driver and let it run its delivery reports; cheap, never blocks."""
        ...

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent is done, at most `timeout` seconds; False when something is still under way."""
        ...

    def rotate(self) -> None:
        """Abandon everything under way and start with a fresh producer: the remedy for a wedged or fatal one."""
        ...

    def close(self, timeout: float) -> None:
        """End within `timeout` seconds, whatever the brokers do; never raises. What is under way is abandoned."""
        ...
