"""From a captured change to a record under way: encoded, addressed, sent, tracked; or dead-lettered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import bson

from cdc_cli.brokers import TopicAdmin
from cdc_cli.capture import Captured, Undecodable
from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.clock import Clock
from cdc_cli.errors import CdcError, ExitCode, Fatal, PoisonEvent
from cdc_cli.events import ChangeEvent, Mark
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.log import EventLog
from cdc_cli.publish import Publisher, Record
from cdc_cli.publish.dead_letter import dead_letter

log = EventLog(__name__)


_OVERSIZED = frozenset({"kafka.record_too_large", "kafka.record_refused"})


class Encode(Protocol):
    """An event as key and value on Kafka; raises PoisonEvent."""

    def encode(self, event: ChangeEvent) -> tuple[bytes, bytes]: ...


class Forwarder:
    """Sends changes in stream order; the tracker learns of each record and of the mark behind it."""

    def __init__(
        self,
        publisher: Publisher,
        tracker: Tracker,
        encoder: Encode,
        topic_of: Callable[[str, str], str],
        admin: TopicAdmin,
        dead_letter_topic: str,
        stop_on_oversized: bool,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self._publisher = publisher
        self._tracker = tracker
        self._encoder = encoder
        self._topic_of = topic_of
        self._admin = admin
        self._dead_letter_topic = dead_letter_topic
        self._stop_on_oversized = stop_on_oversized
        self._counters = counters
        self._clock = clock
        self._topics: dict[tuple[str, str], str] = {}

    def forward(self, captured: Captured) -> None:
        """Hand one change to Kafka. Raises Retryable, Denied, ConfigError, Fatal."""
        event, mark = captured
        try:
            if isinstance(event, Undecodable):
                raise PoisonEvent(event.reason, code=event.code)
            key, value = self._encoder.encode(event)
            topic = self._topics.get((event.database, event.collection)) or self._topic(event)
            delivery = self._publisher.send(tuple.__new__(Record, (topic, key, value, ())))
        except PoisonEvent as error:
            self.bury(captured, error)
            return
        self._tracker.add(delivery, mark, len(value) + len(key))

    def bury(self, captured: Captured, error: PoisonEvent) -> None:
        """Publish the change as a dead letter; its mark is passed only when Kafka has acknowledged that."""
        event, mark = captured
        if error.code in _OVERSIZED and self._stop_on_oversized:
            raise Fatal(error.message, error.hint, error.code, ExitCode.BAD_DATA) from error
        log.error(
            "event.dead_lettered",
            "event %s of %s goes to %s: %s",
            event.position.text,
            event.namespace,
            self._dead_letter_topic,
            error.message,
            code=error.code,
            collection=event.namespace,
        )
        self._counters.add("dead_lettered")
        self._send_dead_letter(event, mark, error)

    def _send_dead_letter(self, event: ChangeEvent | Undecodable, mark: Mark, error: CdcError) -> None:
        key, value = self._remains(event)
        about = {"cdc.namespace": event.namespace, "cdc.position": event.position.text}
        if isinstance(event, ChangeEvent):
            about["cdc.operation"] = event.operation.value
        topic, now = self._dead_letter_topic, self._clock.time()
        stage = "capture" if isinstance(event, Undecodable) else "publish"
        try:
            delivery = self._publisher.send(dead_letter(topic, key, value, error, stage, now, extra=about))
        except PoisonEvent:
            value = b""
            about["cdc.value"] = "left out, too large"
            delivery = self._publisher.send(dead_letter(topic, key, value, error, stage, now, extra=about))
        self._tracker.add(delivery, mark, len(value))

    def _remains(self, event: ChangeEvent | Undecodable) -> tuple[bytes, bytes]:
        """Key and original bytes: BSON as MongoDB sent it, or the event encoded as BSON again."""
        if isinstance(event, Undecodable):
            return event.namespace.encode("utf-8", "replace"), event.raw
        try:
            key, value = self._encoder.encode(event)
        except PoisonEvent:
            key, value = event.namespace.encode("utf-8", "replace"), _as_bson(event)
        return key, value

    def _topic(self, event: ChangeEvent) -> str:
        topic = self._topic_of(event.database, event.collection)
        self._admin.ensure([topic])
        self._topics[event.database, event.collection] = topic
        return topic


def _as_bson(event: ChangeEvent) -> bytes:
    try:
        return bson.encode({"_id": event.id, "document": event.document})
    except Exception as exc:
        log.debug("event.not_encodable", "the event cannot be encoded as BSON again: %s", exc)
        return b""
