"""What goes wrong, one suite for every Publisher: in memory, and both drivers on Apache Kafka behind a proxy."""

from __future__ import annotations

import gc
import inspect
import logging
import threading
import time

import pytest

from cdc_cli.demo.servers import ApacheKafka
from cdc_cli.errors import PoisonEvent, Retryable
from cdc_cli.publish import Delivery, Publisher, Record
from tests.support import publishing as sites
from tests.support.fakes_publish import FakePublisher
from tests.support.kafka_site import KafkaSite
from tests.support.proxy import Proxy
from tests.support.publishing import (
    BOUND,
    Publishing,
    RealSite,
    bounded,
    driver_logger,
    failures,
    send_numbers,
    settle,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.requirement("R3.1")
publishing = sites.publishing
publisher = sites.publisher


@pytest.mark.requirement("R12.5")
def test_a_record_that_the_topic_refuses_fails_as_poison_and_after_rotate_good_ones_pass(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 1, max_bytes=1000)
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
    assert len(publishing.read(topic)) == 21


@pytest.mark.requirement("R3.4")
def test_a_broker_that_is_silent_for_a_while_fails_nothing_and_everything_arrives_in_order(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 2)
    deliveries = send_numbers(publisher, topic, range(50))
    publishing.silence()
    deliveries += send_numbers(publisher, topic, range(50, 400))
    assert not publisher.flush(3.0)
    assert failures(deliveries) == []
    publishing.heal()
    settle(publisher, deliveries, 60)
    assert failures(deliveries) == []
    stored = publishing.read(topic)
    assert sorted(int(kept.value or b"") for kept in stored) == list(range(400))
    for partition in (0, 1):
        numbers = [int(kept.value or b"") for kept in stored if kept.partition == partition]
        assert numbers == sorted(numbers)


def test_flush_says_whether_something_is_still_under_way(publishing: Publishing, publisher: Publisher) -> None:
    topic = publishing.create("a", 8)
    settle(publisher, send_numbers(publisher, topic, range(40)))
    assert publisher.flush(1.0)
    publishing.silence()
    delivery = send_numbers(publisher, topic, range(40), keys=40)[0]
    began = time.monotonic()
    assert not publisher.flush(1.0)
    assert time.monotonic() - began < BOUND
    assert not delivery.is_done
    publishing.heal()
    assert publisher.flush(30)
    assert delivery.is_done


@pytest.mark.requirement("R9.1")
def test_close_comes_back_in_time_when_the_broker_is_silent(publishing: Publishing) -> None:
    topic = publishing.create("a", 2)
    publisher = publishing.publisher()
    publisher.start()
    settle(publisher, send_numbers(publisher, topic, range(10)))
    publishing.silence()
    send_numbers(publisher, topic, range(100))
    assert bounded(lambda: publisher.close(1.0)) is None
    assert bounded(lambda: publisher.close(1.0)) is None


@pytest.mark.requirement("R3.4")
def test_rotate_comes_back_in_time_when_the_broker_is_silent_and_works_once_it_answers(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 2)
    settle(publisher, send_numbers(publisher, topic, range(10)))
    publishing.silence()
    abandoned = send_numbers(publisher, topic, range(10, 60))
    raised = bounded(publisher.rotate)
    assert isinstance(raised, Retryable)
    with pytest.raises(Retryable):
        publisher.send(Record(topic, b"1", b"nobody is there"))
    publisher.poll()
    assert not any(delivery.is_done and delivery.exception is None for delivery in abandoned)
    publishing.heal()
    publisher.rotate()
    after = send_numbers(publisher, topic, range(60, 80))
    settle(publisher, after)
    assert failures(after) == []
    assert [n for n in range(60, 80) if b"%d" % n not in {kept.value for kept in publishing.read(topic)}] == []


@pytest.mark.requirement("R12.5")
def test_starting_without_a_broker_says_so_in_time(publishing: Publishing) -> None:
    publishing.silence()
    publisher = publishing.publisher()
    raised = bounded(publisher.start)
    assert isinstance(raised, Retryable)
    assert bounded(lambda: publisher.close(1.0)) is None


def test_an_unknown_topic_is_retryable_in_bounded_time_and_is_not_created(
    publishing: Publishing, publisher: Publisher
) -> None:
    raised = bounded(lambda: publisher.send(Record("no.such.topic", b"k", b"v")))
    assert isinstance(raised, Retryable)
    assert not publishing.exists("no.such.topic")


def test_a_topic_deleted_while_running_acknowledges_nothing_and_is_not_created_again(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 2)
    settle(publisher, send_numbers(publisher, topic, range(20)))
    publishing.delete(topic)
    late = send_numbers(publisher, topic, range(20, 40)) if not isinstance(publisher, FakePublisher) else []
    publisher.flush(2.0)
    assert not any(delivery.is_done and delivery.exception is None for delivery in late)
    assert all(isinstance(publisher.explain(exc), Retryable) for exc in failures(late))
    publisher.rotate()
    assert isinstance(bounded(lambda: publisher.send(Record(topic, b"k", b"v"))), Retryable)
    assert not publishing.exists(topic)


@pytest.mark.requirement("R3.2")
def test_send_never_waits_for_the_broker_so_that_the_bound_on_memory_is_the_callers(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 2)
    settle(publisher, send_numbers(publisher, topic, range(10)))
    publishing.silence()
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
        publishing = RealSite(real, kafka_proxy, "confluent")
        topic = publishing.create("a", 1)
        publisher = publishing.publisher()
        publisher.start()
        settle(publisher, [publisher.send(Record(topic, b"k", b""))])
        publishing.silence()
        record = Record(topic, b"k", b"")
        for _ in range(210_000):
            publisher.send(record)
        publisher.close(0)


def test_rotating_leaves_no_threads_behind(publishing: Publishing, publisher: Publisher) -> None:
    topic = publishing.create("a", 1)
    publisher.rotate()
    before = threading.active_count()
    for _ in range(4):
        settle(publisher, send_numbers(publisher, topic, range(3)))
        publisher.rotate()
    eventually(lambda: threading.active_count() <= before)


def test_a_collected_publisher_does_not_break_the_logs_of_another(
    publishing: Publishing, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    """kafka-python puts a logger without methods in place of its own whenever a producer is collected."""
    logger = driver_logger()
    publishing.silence()
    other = publishing.publisher()
    bounded(other.start)
    other.close(0)
    publishing.heal()
    third = publishing.publisher()
    third.start()
    third.rotate()
    third.close(1.0)
    del other, third
    gc.collect()
    assert driver_logger() is logger
    assert isinstance(logger, logging.Logger)
    topic = publishing.create("a", 1)
    settle(publisher, send_numbers(publisher, topic, range(3)))


def test_kafka_python_is_the_release_whose_private_parts_are_used() -> None:
    """Batches are filled and read, and the group is joined, with parts of the driver that it promises nobody: another
    release must be looked at first, which is why pyproject.toml names one.
    """
    import kafka
    from kafka.producer.sender import Sender

    assert kafka.__version__ == "3.0.12", "read again: everything that says 'Known of 3.0.12'"
    send = inspect.getsource(kafka.KafkaProducer.send)
    assert "self._accumulator.append(" in send and "self._sender.wakeup()" in send
    for method in ("wakeup", "force_close", "join"):
        assert callable(getattr(Sender, method, None))
