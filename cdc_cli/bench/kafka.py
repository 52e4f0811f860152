"""The bench in Kafka: its topics and groups, found and removed. The services make them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from cdc_cli.bench.names import Run
from cdc_cli.bench.things import Kind, Thing, found
from cdc_cli.brokers.kafka_python_client import make
from cdc_cli.brokers.kafka_python_errors import translate
from cdc_cli.clock import Clock

_EMPTY_AFTER = 20.0
"""Seconds to wait for a group without members: a killed process is a member until its session ends."""
_AGAIN_AFTER = 0.5


class KafkaSite:
    """A `Site`; connects when it is made. Raises CdcError."""

    kinds: tuple[Kind, ...] = (Kind.GROUP, Kind.TOPIC)

    def __init__(self, options: Mapping[str, Any], clock: Clock) -> None:
        self._clock = clock
        self._pause = threading.Event()
        try:
            self._client: KafkaAdminClient = make(KafkaAdminClient, options)
        except Exception as exc:
            raise translate("connecting to Kafka", exc) from exc

    def find(self, run: Run | None) -> list[Thing]:
        """Groups first: one that is asked for topics that are gone is in nobody's way."""
        try:
            groups = [str(group["group_id"]) for group in self._client.list_groups()]
            topics = [str(topic) for topic in self._client.list_topics()]
        except Exception as exc:
            raise translate("listing Kafka's topics and groups", exc) from exc
        return [*found(Kind.GROUP, groups, run), *found(Kind.TOPIC, topics, run)]

    def remove(self, thing: Thing) -> None:
        try:
            if thing.kind is Kind.GROUP:
                self._delete_group(thing.name)
            else:
                self._delete_topic(thing.name)
        except Exception as exc:
            raise translate(f"deleting the {thing.kind} {thing.name}", exc) from exc

    def close(self) -> None:
        try:
            self._client.close()
        except Exception:
            return

    def _delete_topic(self, name: str) -> None:
        try:
            self._client.delete_topics([name], timeout_ms=15_000)
        except kafka_errors.UnknownTopicOrPartitionError:
            return

    def _delete_group(self, name: str) -> None:
        end = self._clock.monotonic() + _EMPTY_AFTER
        while True:
            error = _failure(self._client.delete_groups([name]).get(name))
            if error is None or isinstance(error, kafka_errors.GroupIdNotFoundError):
                return
            if not isinstance(error, kafka_errors.NonEmptyGroupError) or self._clock.monotonic() >= end:
                raise error
            self._pause.wait(_AGAIN_AFTER)


def _failure(answer: object) -> Exception | None:
    """What the driver says about one group: OK, or the name of its error."""
    if answer in (None, "OK"):
        return None
    return getattr(kafka_errors, str(answer), kafka_errors.KafkaError)(f"{answer}")  # type: ignore[no-any-return]
