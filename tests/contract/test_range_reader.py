"""The contract of RangeReader, on the fake and on both brokers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from cdc_cli.consume import Partition
from cdc_cli.consume.range_reader import KafkaPythonRangeReader
from cdc_cli.consume.ranges import Bounds, RangeReader
from cdc_cli.errors import PositionLost
from tests.support.fakes_ranges import FakeRangeReader

T0 = 1_790_000_000_000
"""A time in milliseconds that no broker takes for old."""


class Site(Protocol):
    """A topic of two partitions, and a reader."""

    topic: str
    reader: RangeReader

    def fill(self, number: int, count: int, at_once: bool = False) -> None:
        """Append records, one second apart by their timestamps, each in a batch of its own or all in one."""

    def forget(self, number: int, before: int) -> None: ...


class FakeSite:
    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.fake = FakeRangeReader(Partition(topic, 0), Partition(topic, 1))
        self.reader: RangeReader = self.fake

    def fill(self, number: int, count: int, at_once: bool = False) -> None:
        partition = Partition(self.topic, number)
        for _ in range(count):
            offset = self.fake.ends[partition]
            self.fake.add(partition, b"v%d" % offset, b"k", T0 + offset * 1000)

    def forget(self, number: int, before: int) -> None:
        self.fake.forget(Partition(self.topic, number), before)


class KafkaSite:
    def __init__(self, topic: str, bootstrap: str) -> None:
        self.topic = topic
        self.reader: RangeReader = KafkaPythonRangeReader({"bootstrap_servers": [bootstrap]})
        self.reader.start(f"{topic}-group")
        self._admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self._admin.create_topics([NewTopic(topic, 2, 1)])
        self._admin.wait_for_topics([topic])
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=200)
        self._ends = [0, 0]

    def fill(self, number: int, count: int, at_once: bool = False) -> None:
        for _ in range(count):
            offset = self._ends[number]
            time_ms = T0 + offset * 1000
            self._producer.send(self.topic, b"v%d" % offset, b"k", partition=number, timestamp_ms=time_ms)
            if not at_once:
                self._producer.flush()
            self._ends[number] += 1
        self._producer.flush()

    def forget(self, number: int, before: int) -> None:
        self._admin.delete_records({TopicPartition(self.topic, number): before})

    def close(self) -> None:
        self._producer.close(timeout=5)
        self._admin.close()
        self.reader.close(5)


@pytest.fixture(params=["fake", "kafka", "tansu"])
def site(request: pytest.FixtureRequest, unique: str) -> Iterator[Any]:
    if request.param == "fake":
        yield FakeSite(unique)
        return
    made = KafkaSite(unique, request.getfixturevalue(request.param).bootstrap)
    yield made
    made.close()


def both(site: Site) -> tuple[Partition, Partition]:
    return Partition(site.topic, 0), Partition(site.topic, 1)


def read(reader: RangeReader, ranges: dict[Partition, Bounds], batch: int = 7) -> dict[Partition, list[int]]:
    """Read to the end; the offsets that came."""
    found: dict[Partition, list[int]] = {partition: [] for partition in ranges}
    reader.open(ranges)
    while any(reader.positions()[p] < r.end for p, r in ranges.items()):
        for partition, records in reader.poll(0.5, batch).items():
            found[partition] += [record.offset for record in records]
    return found


def test_it_knows_the_partitions_of_the_topics_that_exist(site: Site) -> None:
    assert list(site.reader.partitions([site.topic, f"{site.topic}-not"])) == list(both(site))


def test_bounds_are_the_first_offset_and_the_next_one(site: Site) -> None:
    first, second = both(site)
    site.fill(0, 3)
    assert site.reader.bounds([first, second]) == {first: Bounds(0, 3), second: Bounds(0, 0)}


def test_the_end_of_a_batch_is_the_end(site: Site) -> None:
    """The broker in memory says otherwise when it is asked for the end; what it delivers is right."""
    first, second = both(site)
    site.fill(0, 50, at_once=True)
    assert site.reader.bounds([first, second]) == {first: Bounds(0, 50), second: Bounds(0, 0)}


@pytest.mark.parametrize("site", ["fake", "kafka"], indirect=True)
def test_a_time_is_the_first_record_at_or_after_it(site: Site) -> None:
    """Not on the broker in memory: whatever the time, it names the beginning of the log."""
    first, second = both(site)
    site.fill(0, 5)
    assert site.reader.offsets_at([first, second], T0 + 1500) == {first: 2}
    assert site.reader.offsets_at([first, second], T0 + 2000) == {first: 2}
    assert site.reader.offsets_at([first, second], 0) == {first: 0}
    assert site.reader.offsets_at([first, second], T0 + 4001) == {}


def test_a_peek_shows_single_records_and_may_be_repeated(site: Site) -> None:
    first, second = both(site)
    site.fill(0, 600)
    site.fill(1, 2)
    for _ in range(2):
        for offsets in ({first: 0, second: 0}, {first: 599, second: 1}, {first: 1}):
            found = site.reader.peek(offsets)
            assert {p: record.offset for p, record in found.items()} == offsets
            assert all(record.value == b"v%d" % record.offset for record in found.values())
            assert all(record.timestamp == T0 + record.offset * 1000 for record in found.values())


def test_reading_ends_at_the_fixed_end_while_the_topic_grows(site: Site) -> None:
    first, second = both(site)
    site.fill(0, 40)
    site.fill(1, 5)
    ranges = {first: Bounds(10, 25), second: Bounds(0, 5)}
    site.fill(1, 30)
    assert read(site.reader, ranges) == {first: list(range(10, 25)), second: list(range(5))}
    assert dict(site.reader.positions()) == {first: 25, second: 5}


def test_after_a_look_around_reading_starts_where_it_should(site: Site) -> None:
    first, second = both(site)
    site.fill(0, 30)
    site.fill(1, 30)
    site.reader.bounds([first, second])
    site.reader.peek({first: 3, second: 29})
    ranges = {first: Bounds(0, 30), second: Bounds(0, 30)}
    for _ in range(2):
        assert read(site.reader, ranges) == {first: list(range(30)), second: list(range(30))}


def test_nothing_open_delivers_nothing(site: Site) -> None:
    first, _ = both(site)
    site.fill(0, 3)
    site.reader.open({})
    assert site.reader.poll(0.1, 10) == {}
    site.reader.open({first: Bounds(2, 2)})
    assert (site.reader.poll(0.1, 10), dict(site.reader.positions())) == ({}, {first: 2})


def test_committed_offsets_come_back(site: Site) -> None:
    first, second = both(site)
    assert site.reader.committed([first, second]) == {}
    site.reader.commit({first: 7})
    site.reader.commit({})
    assert site.reader.committed([first, second]) == {first: 7}


def test_records_that_were_removed_are_no_longer_in_the_bounds(kafka: Any, unique: str) -> None:
    site = KafkaSite(unique, kafka.bootstrap)
    first, _ = both(site)
    site.fill(0, 6)
    site.forget(0, before=4)
    assert site.reader.bounds([first]) == {first: Bounds(4, 6)}
    assert site.reader.offsets_at([first], T0) == {first: 4}
    with pytest.raises(PositionLost, match="removed records"):
        read(site.reader, {first: Bounds(0, 6)})
    site.close()
