"""Where the contract of Publisher is tested: the sites, and what its tests share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest

from cdc_cli.clock import SystemClock
from cdc_cli.demo.servers import ApacheKafka
from cdc_cli.publish import Delivery, Publisher, Record
from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from tests.support.fakes_publish import FakeBroker, FakePublisher
from tests.support.kafka_site import KafkaSite, kafka_settings
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

MAX_SIZE = 4 << 20
PATIENCE = 2.0
"""Seconds for metadata in these tests; the product waits longer."""
BOUND = 15.0
"""Seconds within which a call has come back, with much room for a busy machine: what would hang never comes back."""


class Kept(Protocol):
    @property
    def partition(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Publishing(Protocol):
    """A broker that can be silenced, and publishers on it."""

    def publisher(self) -> Publisher: ...
    def create(self, name: str, partitions: int, max_bytes: int | None = None) -> str: ...
    def delete(self, topic: str) -> None: ...
    def exists(self, topic: str) -> bool: ...
    def read(self, topic: str) -> Sequence[Kept]: ...
    def silence(self) -> None: ...
    def heal(self) -> None: ...


class MemorySite:
    def __init__(self) -> None:
        self._broker = FakeBroker()

    def publisher(self) -> Publisher:
        return FakePublisher(self._broker, MAX_SIZE)

    def create(self, name: str, partitions: int, max_bytes: int | None = None) -> str:
        self._broker.create(name, partitions, max_bytes)
        return name

    def delete(self, topic: str) -> None:
        self._broker.delete(topic)

    def exists(self, topic: str) -> bool:
        return topic in self._broker.logs

    def read(self, topic: str) -> Sequence[Kept]:
        return self._broker.read(topic)

    def silence(self) -> None:
        self._broker.answers = False

    def heal(self) -> None:
        self._broker.answers = True


class RealSite:
    """Apache Kafka; the publishers come through a proxy, the tests look past it."""

    def __init__(self, publishing: KafkaSite, proxy: Proxy, driver: str) -> None:
        self._site = publishing
        self._proxy = proxy
        self._driver = driver

    def publisher(self) -> Publisher:
        settings = kafka_settings(self._proxy.address, create_topics={"max_message_size": "4MiB"})
        if self._driver == "confluent":
            from cdc_cli.publish.confluent import ConfluentPublisher

            return ConfluentPublisher(confluent_options(settings), settings)
        from cdc_cli.publish.kafka_python import KafkaPythonPublisher

        options = {**kafka_python_options(settings), "bootstrap_timeout_ms": 3000, "max_block_ms": PATIENCE * 1000}
        return KafkaPythonPublisher(options, settings, SystemClock())

    def create(self, name: str, partitions: int, max_bytes: int | None = None) -> str:
        return self._site.create(name, partitions, max_message_bytes=max_bytes or 2 * MAX_SIZE)

    def delete(self, topic: str) -> None:
        self._site.delete(topic)

    def exists(self, topic: str) -> bool:
        return self._site.exists(topic)

    def read(self, topic: str) -> Sequence[Kept]:
        return self._site.read(topic)

    def silence(self) -> None:
        self._proxy.blackhole()

    def heal(self) -> None:
        self._proxy.heal()


@pytest.fixture(params=["memory", "kafka-python", "confluent"])
def publishing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publishing]:
    if request.param == "memory":
        yield MemorySite()
        return
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka")
        monkeypatch.setattr("cdc_cli.publish.confluent._METADATA_SECONDS", PATIENCE)
        monkeypatch.setattr("cdc_cli.publish.confluent._CONNECT_SECONDS", PATIENCE)
    kafka: ApacheKafka = request.getfixturevalue("kafka")
    proxy: Proxy = request.getfixturevalue("kafka_proxy")
    with KafkaSite(kafka.bootstrap, request.getfixturevalue("topic_prefix")) as real:
        yield RealSite(real, proxy, request.param)


@pytest.fixture
def publisher(publishing: Publishing) -> Iterator[Publisher]:
    made = publishing.publisher()
    made.start()
    yield made
    made.close(0)


def send_numbers(publisher: Publisher, topic: str, numbers: range, keys: int = 7) -> list[Delivery]:
    """Record n has the key n mod `keys` and the value n."""
    return [publisher.send(Record(topic, b"%d" % (n % keys), b"%d" % n)) for n in numbers]


def settle(publisher: Publisher, deliveries: Sequence[Delivery], timeout: float = 30.0) -> None:
    """Poll until every one of them has ended."""

    def ended() -> bool:
        publisher.poll()
        return all(delivery.is_done for delivery in deliveries)

    eventually(ended, timeout)


def failures(deliveries: Sequence[Delivery]) -> list[BaseException]:
    return [delivery.exception for delivery in deliveries if delivery.exception is not None]


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


def driver_logger() -> object:
    import kafka.producer.kafka

    return kafka.producer.kafka.log
