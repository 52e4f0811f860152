"""One suite for every Publisher: in memory, and both drivers on Apache Kafka behind a proxy."""

from __future__ import annotations

from random import randbytes
from zlib import crc32

import pytest

from cdc_cli.errors import PoisonEvent
from cdc_cli.publish import Publisher, Record
from tests.support import publishing as sites
from tests.support.publishing import MAX_SIZE, Publishing, failures, send_numbers, settle
from tests.support.waiting import eventually

pytestmark = pytest.mark.requirement("R3.1")
publishing = sites.publishing
publisher = sites.publisher


def test_every_record_ends_exactly_once_and_stands_in_kafka_exactly_once(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 3)
    deliveries = send_numbers(publisher, topic, range(500))
    assert publisher.flush(20)
    assert all(delivery.is_done for delivery in deliveries)
    assert failures(deliveries) == []
    assert sorted(int(kept.value or b"") for kept in publishing.read(topic)) == list(range(500))


def test_records_of_a_partition_stand_in_the_order_of_sending(publishing: Publishing, publisher: Publisher) -> None:
    topic = publishing.create("a", 3)
    settle(publisher, send_numbers(publisher, topic, range(300)))
    by_partition: dict[int, list[int]] = {}
    for kept in publishing.read(topic):
        by_partition.setdefault(kept.partition, []).append(int(kept.value or b""))
    assert sum(map(len, by_partition.values())) == 300
    assert all(numbers == sorted(numbers) for numbers in by_partition.values())


def test_acknowledgements_of_a_partition_come_in_order(publishing: Publishing, publisher: Publisher) -> None:
    topic = publishing.create("a", 1)
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
def test_the_same_key_goes_to_the_same_partition_on_every_driver(publishing: Publishing, publisher: Publisher) -> None:
    topic = publishing.create("a", 5)
    keys = [b"", b"1", b"a", "ключ".encode(), bytes(range(256)), *(b"key %d" % n for n in range(40))]
    settle(publisher, [publisher.send(Record(topic, key, b"v")) for key in [*keys, *keys]])
    places = {(kept.key, kept.partition) for kept in publishing.read(topic)}
    assert places == {(key, crc32(key) % 5) for key in keys}
    assert len({partition for _, partition in places}) == 5


def test_a_record_without_key_value_or_with_headers_arrives_as_it_is(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 4)
    headers = (("cdc.a", b"\x00\xff"), ("cdc.b", b""))
    records = [Record(topic, None, b"no key"), Record(topic, b"k", None, headers)]
    settle(publisher, [publisher.send(record) for record in records])
    first, second = sorted(publishing.read(topic), key=lambda kept: kept.key is not None)
    assert (first.partition, first.key, first.value) == (0, None, b"no key")
    assert (second.key, second.value) == (b"k", None)
    assert dict(second.headers) == dict(headers)  # type: ignore[attr-defined]


@pytest.mark.requirement("R12.5")
def test_a_record_that_is_too_large_is_refused_when_it_is_sent_and_harms_nothing(
    publishing: Publishing, publisher: Publisher
) -> None:
    topic = publishing.create("a", 1)
    before = publisher.send(Record(topic, b"1", b"small"))
    with pytest.raises(PoisonEvent) as caught:
        publisher.send(Record(topic, b"2", bytes(MAX_SIZE)))
    assert caught.value.code == "kafka.record_too_large"
    settle(publisher, [before, publisher.send(Record(topic, b"3", bytes(MAX_SIZE - 4096)))])
    assert [len(kept.value or b"") for kept in publishing.read(topic)] == [5, MAX_SIZE - 4096]


def test_a_batch_that_is_too_large_for_its_topic_is_split_or_refused_and_every_record_told_so(
    publishing: Publishing, publisher: Publisher
) -> None:
    """kafka-python splits it; librdkafka refuses the batch, and the watcher sends its records one at a time."""
    topic = publishing.create("a", 1, max_bytes=20_000)
    values = [b"%04d" % number + randbytes(1_000) for number in range(100)]
    deliveries = [publisher.send(Record(topic, b"k", value)) for value in values]
    settle(publisher, deliveries)
    refused = [delivery.exception for delivery in deliveries if delivery.exception is not None]
    assert all(isinstance(publisher.explain(error), PoisonEvent) for error in refused)
    delivered = [value for value, delivery in zip(values, deliveries, strict=True) if delivery.exception is None]
    assert [kept.value for kept in publishing.read(topic)] == delivered
    if type(publisher).__name__ == "KafkaPythonPublisher":
        assert delivered == values


def test_close_delivers_what_is_under_way_when_the_broker_answers(publishing: Publishing) -> None:
    topic = publishing.create("a", 2)
    publisher = publishing.publisher()
    publisher.start()
    send_numbers(publisher, topic, range(200))
    publisher.close(20)
    assert len(publishing.read(topic)) == 200
