"""One suite for every Publisher: in memory, kafka-python and confluent-kafka on Apache Kafka, behind a proxy."""

from __future__ import annotations

import gc
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol
from zlib import crc32

import pytest

from cdc_cli.demo.servers import ApacheKafka
from cdc_cli.errors import PoisonEvent, Retryable
from cdc_cli.publish import Delivery, Publisher, Record
from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from tests.support.fakes_publish import FakeBroker, FakePublisher
from tests.support.kafka_site import KafkaSite, kafka_settings
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

pytestmark = pytest.mark.requirement("R3.1")
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


class Site(Protocol):
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

    def __init__(self, site: KafkaSite, proxy: Proxy, driver: str) -> None:
        self._site = site
        self._proxy = proxy
        self._driver = driver

    def publisher(self) -> Publisher:
        settings = kafka_settings(self._proxy.address, create_topics={"max_message_size": "4MiB"})
        if self._driver == "confluent":
            from cdc_cli.publish.confluent import ConfluentPublisher

            return ConfluentPublisher(confluent_options(settings), settings)
        from cdc_cli.publish.kafka_python import KafkaPythonPublisher

        options = {**kafka_python_options(settings), "bootstrap_timeout_ms": 3000, "max_block_ms": PATIENCE * 1000}
        return KafkaPythonPublisher(options, settings)

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
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
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
def publisher(site: Site) -> Iterator[Publisher]:
    made = site.publisher()
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


def test_every_record_ends_exactly_once_and_stands_in_kafka_exactly_once(site: Site, publisher: Publisher) -> None:
    topic = site.create("a", 3)
    deliveries = send_numbers(publisher, topic, range(500))
    assert publisher.flush(20)
    assert all(delivery.is_done for delivery in deliveries)
    assert failures(deliveries) == []
    assert sorted(int(kept.value or b"") for kept in site.read(topic)) == list(range(500))


def test_records_of_a_partition_stand_in_the_order_of_sending(site: Site, publisher: Publisher) -> None:
    topic = site.create("a", 3)
    settle(publisher, send_numbers(publisher, topic, range(300)))
    by_partition: dict[int, list[int]] = {}
    for kept in site.read(topic):
        by_partition.setdefault(kept.partition, []).append(int(kept.value or b""))
    assert sum(map(len, by_partition.values())) == 300
    assert all(numbers == sorted(numbers) for numbers in by_partition.values())


def test_acknowledgements_of_a_partition_come_in_order(site: Site, publisher: Publisher) -> None:
    topic = site.create("a", 1)
    deliveries = send_numbers(publisher, topic, range(2000))
    seen = 0

    def all_seen() -> bool:
        nonlocal seen
        publisher.poll()
        done = [delivery.is_done for delivery in reversed(deliveries)]
        done.reverse()  # newest was asked first, so that an older one can only look more finished
        reached = done.index(False) if False in done else len(done)
        assert not any(done[reached:]), "a newer record was acknowledged before an older one"
        assert reached >= seen
        seen = reached
        return seen == len(deliveries)

    eventually(all_seen, 30)
    assert failures(deliveries) == []


@pytest.mark.requirement("R3.1")
def test_the_same_key_goes_to_the_same_partition_on_every_driver(site: Site, publisher: Publisher) -> None:
    topic = site.create("a", 5)
    keys = [b"", b"1", b"a", "ключ".encode(), bytes(range(256)), *(b"key %d" % n for n in range(40))]
    settle(publisher, [publisher.send(Record(topic, key, b"v")) for key in [*keys, *keys]])
    places = {(kept.key, kept.partition) for kept in site.read(topic)}
    assert places == {(key, crc32(key) % 5) for key in keys}
    assert len({partition for _, partition in places}) == 5


def test_a_record_without_key_value_or_with_headers_arrives_as_it_is(site: Site, publisher: Publisher) -> None:
    topic = site.create("a", 4)
    headers = (("cdc.a", b"\x00\xff"), ("cdc.b", b""))
    records = [Record(topic, None, b"no key"), Record(topic, b"k", None, headers)]
    settle(publisher, [publisher.send(record) for record in records])
    first, second = sorted(site.read(topic), key=lambda kept: kept.key is not None)
    assert (first.partition, first.key, first.value) == (0, None, b"no key")
    assert (second.key, second.value) == (b"k", None)
    assert dict(second.headers) == dict(headers)  # type: ignore[attr-defined]


@pytest.mark.requirement("R12.5")
def test_a_record_that_is_too_large_is_refused_when_it_is_sent_and_harms_nothing(
    site: Site, publisher: Publisher
) -> None:
    topic = site.create("a", 1)
    before = publisher.send(Record(topic, b"1", b"small"))
    with pytest.raises(PoisonEvent) as caught:
        publisher.send(Record(topic, b"2", bytes(MAX_SIZE)))
    assert caught.value.code == "kafka.record_too_large"
    settle(publisher, [before, publisher.send(Record(topic, b"3", bytes(MAX_SIZE - 4096)))])
    assert [len(kept.value or b"") for kept in site.read(topic)] == [5, MAX_SIZE - 4096]


@pytest.mark.requirement("R12.5")
def test_a_record_that_the_topic_refuses_fails_as_poison_and_after_rotate_good_ones_pass(
    site: Site, publisher: Publisher
) -> None:
    topic = site.create("a", 1, max_bytes=1000)
    deliveries = [publisher.send(Record(topic, b"1", b"good"))]
    settle(publisher, deliveries)
    refused = publisher.send(Record(topic, b"2", bytes(5000)))
    settle(publisher, [refused])
    assert refused.exception is not None
    error = publisher.explain(refused.exception)
    assert isinstance(error, PoisonEvent)
    assert error.code == "kafka.record_refused"
    publisher.rotate()
    after = send_numbers(publisher, topic, range(20))
    settle(publisher, after)
    assert failures(after) == []
    assert len(site.read(topic)) == 21


@pytest.mark.requirement("R3.4")
def test_a_broker_that_is_silent_for_a_while_fails_nothing_and_everything_arrives_in_order(
    site: Site, publisher: Publisher
) -> None:
    topic = site.create("a", 2)
    deliveries = send_numbers(publisher, topic, range(50))
    site.silence()
    deliveries += send_numbers(publisher, topic, range(50, 400))
    assert not publisher.flush(3.0)
    assert failures(deliveries) == []
    site.heal()
    settle(publisher, deliveries, 60)
    assert failures(deliveries) == []
    stored = site.read(topic)
    assert sorted(int(kept.value or b"") for kept in stored) == list(range(400))
    for partition in (0, 1):
        numbers = [int(kept.value or b"") for kept in stored if kept.partition == partition]
        assert numbers == sorted(numbers)


def test_flush_says_whether_something_is_still_under_way(site: Site, publisher: Publisher) -> None:
    topic = site.create("a", 8)
    settle(publisher, send_numbers(publisher, topic, range(40)))
    assert publisher.flush(1.0)
    site.silence()
    delivery = send_numbers(publisher, topic, range(40), keys=40)[0]
    began = time.monotonic()
    assert not publisher.flush(1.0)
    assert time.monotonic() - began < BOUND
    assert not delivery.is_done
    site.heal()
    assert publisher.flush(30)
    assert delivery.is_done


@pytest.mark.requirement("R9.1")
def test_close_comes_back_in_time_when_the_broker_is_silent(site: Site) -> None:
    topic = site.create("a", 2)
    publisher = site.publisher()
    publisher.start()
    settle(publisher, send_numbers(publisher, topic, range(10)))
    site.silence()
    send_numbers(publisher, topic, range(100))
    assert bounded(lambda: publisher.close(1.0)) is None
    assert bounded(lambda: publisher.close(1.0)) is None


def test_close_delivers_what_is_under_way_when_the_broker_answers(site: Site) -> None:
    topic = site.create("a", 2)
    publisher = site.publisher()
    publisher.start()
    send_numbers(publisher, topic, range(200))
    publisher.close(20)
    assert len(site.read(topic)) == 200


@pytest.mark.requirement("R3.4")
def test_rotate_comes_back_in_time_when_the_broker_is_silent_and_works_once_it_answers(
    site: Site, publisher: Publisher
) -> None:
    topic = site.create("a", 2)
    settle(publisher, send_numbers(publisher, topic, range(10)))
    site.silence()
    abandoned = send_numbers(publisher, topic, range(10, 60))
    raised = bounded(publisher.rotate)
    assert isinstance(raised, Retryable)
    with pytest.raises(Retryable):
        publisher.send(Record(topic, b"1", b"nobody is there"))
    publisher.poll()
    assert not any(delivery.is_done and delivery.exception is None for delivery in abandoned)
    site.heal()
    publisher.rotate()
    after = send_numbers(publisher, topic, range(60, 80))
    settle(publisher, after)
    assert failures(after) == []
    assert [n for n in range(60, 80) if b"%d" % n not in {kept.value for kept in site.read(topic)}] == []


@pytest.mark.requirement("R12.5")
def test_starting_without_a_broker_says_so_in_time(site: Site) -> None:
    site.silence()
    publisher = site.publisher()
    raised = bounded(publisher.start)
    assert isinstance(raised, Retryable)
    assert bounded(lambda: publisher.close(1.0)) is None


def test_an_unknown_topic_is_retryable_in_bounded_time_and_is_not_created(site: Site, publisher: Publisher) -> None:
    raised = bounded(lambda: publisher.send(Record("no.such.topic", b"k", b"v")))
    assert isinstance(raised, Retryable)
    assert not site.exists("no.such.topic")


def test_a_topic_deleted_while_running_acknowledges_nothing_and_is_not_created_again(
    site: Site, publisher: Publisher
) -> None:
    topic = site.create("a", 2)
    settle(publisher, send_numbers(publisher, topic, range(20)))
    site.delete(topic)
    late = send_numbers(publisher, topic, range(20, 40)) if not isinstance(publisher, FakePublisher) else []
    publisher.flush(2.0)
    assert not any(delivery.is_done and delivery.exception is None for delivery in late)
    assert all(isinstance(publisher.explain(exc), Retryable) for exc in failures(late))
    publisher.rotate()
    assert isinstance(bounded(lambda: publisher.send(Record(topic, b"k", b"v"))), Retryable)
    assert not site.exists(topic)


@pytest.mark.requirement("R3.2")
def test_send_never_waits_for_the_broker_so_that_the_bound_on_memory_is_the_callers(
    site: Site, publisher: Publisher
) -> None:
    topic = site.create("a", 2)
    settle(publisher, send_numbers(publisher, topic, range(10)))
    site.silence()
    value = bytes(1000)
    deliveries: list[Delivery] = []
    raised = bounded(lambda: deliveries.extend(publisher.send(Record(topic, b"%d" % n, value)) for n in range(20_000)))
    assert raised is None
    assert len(deliveries) == 20_000
    assert failures(deliveries) == []


def test_librdkafka_has_no_bound_of_its_own_below_the_callers(
    kafka: ApacheKafka, kafka_proxy: Proxy, topic_prefix: str
) -> None:
    pytest.importorskip("confluent_kafka")
    with KafkaSite(kafka.bootstrap, topic_prefix) as real:
        site = RealSite(real, kafka_proxy, "confluent")
        topic = site.create("a", 1)
        publisher = site.publisher()
        publisher.start()
        settle(publisher, [publisher.send(Record(topic, b"k", b""))])
        site.silence()
        record = Record(topic, b"k", b"")
        for _ in range(210_000):
            publisher.send(record)
        publisher.close(0)


def test_rotating_leaves_no_threads_behind(site: Site, publisher: Publisher) -> None:
    topic = site.create("a", 1)
    publisher.rotate()
    before = threading.active_count()
    for _ in range(4):
        settle(publisher, send_numbers(publisher, topic, range(3)))
        publisher.rotate()
    eventually(lambda: threading.active_count() <= before)


def test_a_collected_publisher_does_not_break_the_logs_of_another(
    site: Site, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    """kafka-python puts a logger without methods in place of its own whenever a producer is collected."""
    logger = _driver_logger()
    site.silence()
    other = site.publisher()
    bounded(other.start)
    other.close(0)
    site.heal()
    third = site.publisher()
    third.start()
    third.rotate()
    third.close(1.0)
    del other, third
    gc.collect()
    assert _driver_logger() is logger
    assert isinstance(logger, logging.Logger)
    topic = site.create("a", 1)
    settle(publisher, send_numbers(publisher, topic, range(3)))


def _driver_logger() -> object:
    import kafka.producer.kafka

    return kafka.producer.kafka.log


def test_the_private_parts_of_kafka_python_are_where_the_publisher_uses_them() -> None:
    """The publisher appends to the driver's accumulator itself: a release that changes that must be looked at."""
    import kafka
    from kafka.producer.future import FutureRecordMetadata
    from kafka.producer.record_accumulator import RecordAccumulator
    from kafka.producer.sender import Sender

    look = f"kafka-python {kafka.__version__} differs: read KafkaProducer.send again, then publish/kafka_python.py"
    assert kafka.__version__.startswith("3.0."), look
    parameters = list(inspect.signature(RecordAccumulator.append).parameters)
    assert parameters[:6] == ["self", "tp", "timestamp_ms", "key", "value", "headers"], look
    accumulator = RecordAccumulator(message_version=2)
    appended = accumulator.append(kafka.TopicPartition("t", 0), None, b"k", b"v", [("h", b"x")])
    assert len(appended) == 4 and isinstance(appended[0], FutureRecordMetadata), look
    assert (appended[0].is_done, appended[0].exception) == (False, None), look
    assert accumulator.has_incomplete is True, look
    accumulator.begin_flush()
    assert accumulator._flushes_in_progress.decrement() == 0, look
    send = inspect.getsource(kafka.KafkaProducer.send)
    assert "self._accumulator.append(" in send and "self._sender.wakeup()" in send, look
    for method in ("wakeup", "force_close", "join"):
        assert callable(getattr(Sender, method, None)), look
