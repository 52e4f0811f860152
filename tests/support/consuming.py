"""Where the contract of Consumer is tested: the sites, and what its tests share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdc_cli.consume import Consumer, Partition, RawRecord, Rebalance
from cdc_cli.demo.servers import ApacheKafka
from cdc_cli.errors import Retryable
from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from tests.support.kafka_site import KafkaSite, kafka_settings
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

BOUND = 20.0
"""Seconds within which a call has come back, with much room for a busy machine: what would hang never comes back."""
GROUP = "group"


class Member:
    """A consumer and what it was told, driven by the test's thread as the syncer's loop drives it."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.assigned: set[Partition] = set()
        self.changes: list[Rebalance] = []
        self.records: dict[Partition, list[RawRecord]] = {}

    def poll(self, timeout: float = 0.05) -> None:
        self.consumer.refresh()
        for partition, records in self.consumer.poll(timeout, 500).items():
            self.records.setdefault(partition, []).extend(records)
        change = self.consumer.rebalance()
        if change is not None:
            self.changes.append(change)
            self.assigned -= change.revoked
            self.assigned |= change.assigned

    def seek(self, offset: int = 0) -> None:
        for partition in sorted(self.assigned):
            self.consumer.seek(partition, offset)

    def values(self, topic: str) -> list[bytes | None]:
        return [r.value for p, records in sorted(self.records.items()) if p.topic == topic for r in records]


@dataclass
class Consuming:
    """Makes members of one group on topics of this test; `add` names topics that are read from the start."""

    kafka: ApacheKafka
    admin: KafkaSite
    proxy: Proxy
    driver: str
    topics: set[str]
    consumers: list[Consumer]

    @property
    def group(self) -> str:
        return self.admin.prefix + GROUP

    def create(self, name: str, partitions: int) -> str:
        topic = self.admin.create(name, partitions)
        self.topics.add(topic)
        return topic

    def member(self, session: str = "6s", start: bool = True) -> Member:
        settings = kafka_settings(self.proxy.address, consumer={"session_timeout": session})
        self.consumers.append(self.make_consumer(settings))
        if start:
            self.consumers[-1].start()
        return Member(self.consumers[-1])

    def make_consumer(self, settings: Any) -> Consumer:
        def topics() -> frozenset[str]:
            return frozenset(self.topics)

        if self.driver == "confluent":
            from cdc_cli.consume.confluent import ConfluentConsumer

            return ConfluentConsumer(confluent_options(settings), settings, self.group, topics)
        from cdc_cli.consume.kafka_python import KafkaPythonConsumer

        options = {**kafka_python_options(settings), "bootstrap_timeout_ms": 3000}
        return KafkaPythonConsumer(options, settings, self.group, topics)


@pytest.fixture(params=["kafka-python", "confluent"])
def consuming(
    request: pytest.FixtureRequest,
    kafka: ApacheKafka,
    kafka_proxy: Proxy,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Consuming]:
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka")
        monkeypatch.setattr("cdc_cli.consume.confluent._TIMEOUT", 2.0)
        monkeypatch.setattr("cdc_cli.consume.confluent._CONNECT_SECONDS", 2.0)
    with KafkaSite(kafka.bootstrap, topic_prefix) as admin:
        made = Consuming(kafka, admin, kafka_proxy, request.param, set(), [])
        yield made
        kafka_proxy.heal()
        for consumer in made.consumers:
            consumer.close(3.0)


def until(condition: Callable[[], bool], *members: Member, timeout: float = 40.0) -> None:
    """Poll the members in turn until the condition holds."""

    def polled() -> bool:
        for member in members:
            member.poll()
        return condition()

    eventually(polled, timeout)


def joined(consuming: Consuming, topic: str, partitions: int) -> Member:
    """A member that was given all partitions of the topic, not yet positioned."""
    member = consuming.member()
    until(lambda: len(member.assigned) == partitions, member)
    assert member.assigned == all_of(topic, partitions)
    return member


def read_on(member: Member, topic: str, count: int) -> None:
    """Until so many records have arrived. A group that began anew is told the positions again."""

    def arrived() -> bool:
        changes = len(member.changes)
        with contextlib.suppress(Retryable):
            member.poll()
        if len(member.changes) > changes:
            for partition in member.assigned:
                member.consumer.seek(partition, len(member.records.get(partition, ())))
        return len(member.values(topic)) >= count

    eventually(arrived, 60)


def all_of(topic: str, partitions: int) -> set[Partition]:
    return {Partition(topic, number) for number in range(partitions)}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def numbers(first: int, end: int) -> list[bytes]:
    return [b"%d" % n for n in range(first, end)]


def bounded(call: Callable[[], Any]) -> BaseException | None:
    """Run the call in a thread of its own and fail when it does not come back; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except Exception as exc:
            raised.append(exc)

    thread = threading.Thread(target=run, name="bounded", daemon=True)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive(), f"{call} did not come back within {BOUND:g} s"
    return raised[0] if raised else None


def directly(consuming: Consuming) -> Member:
    """A member of the group that does not come through the proxy."""
    settings = kafka_settings(consuming.kafka.bootstrap, consumer={"session_timeout": "6s"})
    consuming.consumers.append(consuming.make_consumer(settings))
    consuming.consumers[-1].start()
    return Member(consuming.consumers[-1])


def patiently(ask: Callable[[], Mapping[Partition, int]]) -> Mapping[Partition, int]:
    answers: list[Mapping[Partition, int]] = []

    def answered() -> bool:
        try:
            answers.append(ask())
        except Retryable:
            return False
        return True

    eventually(answered, 30)
    return answers[0]
