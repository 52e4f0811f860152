"""One suite for both Consumers, kafka-python and confluent-kafka, on Apache Kafka behind a proxy."""

from __future__ import annotations

import time

import pytest

from cdc_cli.consume import Partition
from cdc_cli.errors import Retryable
from tests.support import consuming as sites
from tests.support.consuming import Consuming, all_of, joined, numbers, until
from tests.support.topics import Topics

pytestmark = pytest.mark.requirement("R4.1", "R4.2")
consuming = sites.consuming


def test_nothing_is_delivered_before_seek_and_seek_decides_from_where(consuming: Consuming) -> None:
    topic = consuming.create("a", 2)
    consuming.admin.produce(topic, numbers(0, 10), 0)
    consuming.admin.produce(topic, numbers(0, 10), 1)
    member = joined(consuming, topic, 2)
    assert [change.assigned for change in member.changes] == [frozenset(all_of(topic, 2))]
    end = time.monotonic() + 1.0
    until(lambda: time.monotonic() > end, member)
    assert member.records == {}
    member.consumer.seek(Partition(topic, 0), 7)
    member.consumer.seek(Partition(topic, 1), 0)
    until(lambda: len(member.values(topic)) >= 13, member)
    assert [r.offset for r in member.records[Partition(topic, 0)]] == [7, 8, 9]
    assert [r.value for r in member.records[Partition(topic, 0)]] == numbers(7, 10)
    assert [r.value for r in member.records[Partition(topic, 1)]] == numbers(0, 10)


def test_seek_moves_a_running_partition_back_and_forth(consuming: Consuming) -> None:
    topic = consuming.create("a", 1)
    consuming.admin.produce(topic, numbers(0, 10))
    member = joined(consuming, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 10, member)
    member.records.clear()
    member.seek(4)
    until(lambda: len(member.values(topic)) >= 6, member)
    assert member.values(topic) == numbers(4, 10)
    member.records.clear()
    member.seek(10)
    consuming.admin.produce(topic, [b"new"])
    until(lambda: bool(member.values(topic)), member)
    assert member.values(topic) == [b"new"]


def test_partitions_added_to_a_topic_are_soon_assigned_and_read(
    consuming: Consuming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where keys have moved to them, what is not read there is missing until it is."""
    module = "confluent" if consuming.driver == "confluent" else "kafka_python"
    monkeypatch.setattr(f"cdc_cli.consume.{module}._LOOK_FOR_PARTITIONS_EVERY", 1.0)
    topic = consuming.create("a", 1)
    member = joined(consuming, topic, 1)
    member.seek(0)
    consuming.admin.add_partitions(topic, 3)
    consuming.admin.produce(topic, numbers(0, 5), 2)
    until(lambda: member.assigned == all_of(topic, 3), member)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 5, member)
    assert [r.value for r in member.records[Partition(topic, 2)]] == numbers(0, 5)


@pytest.mark.requirement("R4.3")
def test_records_come_as_raw_bytes_whatever_they_hold(consuming: Consuming) -> None:
    topic = consuming.create("a", 1)
    poison: list[bytes | None] = [b"{bad", None, b"", b"\xff\xfe\x00", b"[" * 3000, b"{}"]
    consuming.admin.produce(topic, poison, key=b"\xff")
    member = joined(consuming, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) >= len(poison), member)
    records = member.records[Partition(topic, 0)]
    assert [record.value for record in records] == poison
    assert {record.key for record in records} == {b"\xff"}
    assert [record.offset for record in records] == list(range(len(poison)))
    assert all(abs(record.timestamp / 1000 - time.time()) < 3600 for record in records)
    assert all(list(record.headers or ()) == [] for record in records)


@pytest.mark.requirement("R8.1", "R8.2")
def test_two_members_share_the_partitions_and_are_told_what_changes_hands(consuming: Consuming) -> None:
    topic = consuming.create("a", 4)
    first = joined(consuming, topic, 4)
    first.seek(0)
    second = consuming.member()
    until(lambda: len(first.assigned) == len(second.assigned) == 2, first, second)
    assert first.assigned | second.assigned == all_of(topic, 4)
    assert not first.assigned & second.assigned
    gone = all_of(topic, 4) - first.assigned
    assert any(gone <= change.revoked for change in first.changes)
    for partition in all_of(topic, 4):
        consuming.admin.produce(topic, numbers(0, 5), partition.number)
    first.seek(0)
    second.seek(0)
    until(lambda: len(first.values(topic)) == len(second.values(topic)) == 10, first, second)
    assert set(first.records) == first.assigned
    assert set(second.records) == second.assigned
    second.consumer.close(5.0)
    until(lambda: len(first.assigned) == 4, first)


def test_partitions_given_in_a_rebalance_deliver_nothing_before_they_are_positioned_again(consuming: Consuming) -> None:
    topic = consuming.create("a", 2)
    for number in range(2):
        consuming.admin.produce(topic, numbers(0, 5), number)
    first = joined(consuming, topic, 2)
    first.seek(0)
    until(lambda: len(first.values(topic)) == 10, first)
    second = consuming.member()
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    first.records.clear()
    for number in range(2):
        consuming.admin.produce(topic, numbers(5, 10), number)
    end = time.monotonic() + 1.0
    until(lambda: time.monotonic() > end, first, second)
    assert first.records == {}
    assert second.records == {}
    first.seek(5)
    second.seek(5)
    until(lambda: len(first.values(topic)) == len(second.values(topic)) == 5, first, second)


def test_a_paused_partition_delivers_nothing_until_it_is_resumed_and_stays_ours(consuming: Consuming) -> None:
    topic = consuming.create("a", 2)
    member = joined(consuming, topic, 2)
    member.seek(0)
    until(lambda: True, member)
    paused, running = Partition(topic, 0), Partition(topic, 1)
    member.consumer.pause([paused])
    consuming.admin.produce(topic, numbers(0, 5), 0)
    consuming.admin.produce(topic, numbers(0, 5), 1)
    until(lambda: len(member.records.get(running, ())) == 5, member)
    end = time.monotonic() + 0.5
    until(lambda: time.monotonic() > end, member)
    assert paused not in member.records
    member.consumer.resume([paused])
    until(lambda: len(member.records.get(paused, ())) == 5, member)
    assert [r.value for r in member.records[paused]] == numbers(0, 5)
    assert len(member.changes) == 1


def test_partitions_that_were_paused_with_records_at_hand_all_go_on_although_others_are_busy(
    consuming: Consuming
) -> None:
    topic = consuming.create("a", 3)
    for number in range(3):
        consuming.admin.produce(topic, numbers(0, 4000), number)
    member = joined(consuming, topic, 3)
    everything = sorted(member.assigned)
    member.seek(0)
    for _ in range(3):
        until(lambda: len(member.values(topic)) % 12_000 > 0, member)
        member.consumer.pause(everything)
        paused = len(member.values(topic))
        for _ in range(3):
            member.poll()
        assert len(member.values(topic)) == paused
        member.consumer.resume(everything)
    others: list[int] = []
    for _ in range(120):  # partition 0 never runs dry meanwhile
        consuming.admin.produce(topic, numbers(0, 500), 0)
        member.poll()
        others = [len(member.records.get(partition, ())) for partition in everything[1:]]
        if others == [4000, 4000]:
            return
    raise AssertionError(f"of 4000 records in each of the other partitions, {others} came")


@pytest.mark.requirement("R4.2", "R8.3")
def test_only_explicit_offsets_are_committed_and_committed_tells_them(consuming: Consuming) -> None:
    topic = consuming.create("a", 3)
    for number in range(3):
        consuming.admin.produce(topic, numbers(0, 10), number)
    member = joined(consuming, topic, 3)
    partitions = sorted(member.assigned)
    assert member.consumer.committed(partitions) == {}
    member.seek(0)
    until(lambda: len(member.values(topic)) == 30, member)
    member.consumer.commit({Partition(topic, 0): 4, Partition(topic, 1): 0})
    assert member.consumer.committed(partitions) == {Partition(topic, 0): 4, Partition(topic, 1): 0}
    member.consumer.commit({Partition(topic, 0): 2})
    member.consumer.close(5.0)
    with Topics(consuming.kafka.bootstrap) as topics:
        assert topics.committed(consuming.group) == {(topic, 0): 2, (topic, 1): 0}


def test_bounds_tell_the_first_offset_kept_and_the_next_one(consuming: Consuming) -> None:
    topic = consuming.create("a", 2)
    consuming.admin.produce(topic, numbers(0, 10), 0)
    consuming.admin.forget(topic, 6)
    member = joined(consuming, topic, 2)
    bounds = member.consumer.bounds(sorted(member.assigned))
    assert dict(bounds) == {Partition(topic, 0): (6, 10), Partition(topic, 1): (0, 0)}


@pytest.mark.requirement("R12.5")
def test_a_partition_that_is_not_known_yet_is_asked_for_again(consuming: Consuming) -> None:
    topic = consuming.create("a", 1)
    member = joined(consuming, topic, 1)
    with pytest.raises(Retryable):
        member.consumer.bounds([Partition(topic, 0), Partition(topic, 9)])


@pytest.mark.requirement("R8.1")
def test_a_new_topic_is_found_by_refresh(consuming: Consuming, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "confluent" if consuming.driver == "confluent" else "kafka_python"
    monkeypatch.setattr(f"cdc_cli.consume.{module}._LOOK_FOR_TOPICS_EVERY", 0.5)
    member = consuming.member()
    member.poll()
    assert member.assigned == set()
    first = consuming.create("a", 1)
    until(lambda: member.assigned == all_of(first, 1), member)
    member.seek(0)
    consuming.admin.produce(first, numbers(0, 3))
    until(lambda: member.values(first) == numbers(0, 3), member)
    second = consuming.create("b", 2)
    until(lambda: member.assigned == all_of(first, 1) | all_of(second, 2), member)
    member.records.clear()
    member.consumer.seek(Partition(first, 0), 3)
    for number in range(2):
        member.consumer.seek(Partition(second, number), 0)
    consuming.admin.produce(first, numbers(3, 5))
    consuming.admin.produce(second, numbers(0, 2), 1)
    until(lambda: len(member.values(first)) == len(member.values(second)) == 2, member)
    assert member.values(first) == numbers(3, 5)


def test_the_end_of_a_partition_is_known_from_fetches_and_not_known_before(consuming: Consuming) -> None:
    topic = consuming.create("a", 1)
    partition = Partition(topic, 0)
    consuming.admin.produce(topic, numbers(0, 10))
    member = joined(consuming, topic, 1)
    assert member.consumer.end(partition) is None
    assert member.consumer.end(Partition(topic, 7)) is None, "none of ours"
    member.seek(4)
    until(lambda: len(member.values(topic)) == 6, member)
    assert member.consumer.end(partition) == 10
    consuming.admin.produce(topic, [b"new"])
    until(lambda: len(member.values(topic)) == 7, member)
    assert member.consumer.end(partition) == 11
