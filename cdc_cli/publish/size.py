"""How large a record may be: known before it is sent, so that one that is too large harms no other."""

from __future__ import annotations

from cdc_cli.errors import PoisonEvent
from cdc_cli.publish import Record

_OVERHEAD = 1024
"""Bytes of headers and framing around key and value, generously."""


def refuse_too_large(record: Record, max_message_size: int) -> None:
    """Raises PoisonEvent for a record that the topic, as we create it, would not take."""
    size = len(record.key or b"") + len(record.value or b"")
    if size > max_message_size - _OVERHEAD:
        raise PoisonEvent(
            f"the record of {size} bytes is larger than kafka.create_topics.max_message_size allows",
            "raise max_message_size, and max.message.bytes of the topic and the brokers",
            "kafka.record_too_large",
        )
