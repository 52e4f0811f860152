"""What goes wrong, one suite for both Consumers, kafka-python and confluent-kafka, on Apache Kafka behind a proxy."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable

import pytest

from cdc_cli.consume import Partition
from cdc_cli.errors import PositionLost, Retryable, TryLater
from tests.support import consuming as sites
from tests.support.consuming import (
    BOUND,
    Consuming,
    all_of,
    bounded,
    descriptors,
    directly,
    joined,
    numbers,
    patiently,
    read_on,
    until,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.requirement("R4.1", "R4.2")
consuming = sites.consuming


@pytest.mark.requirement("R8.3")
def test_a_commit_after_the_group_moved_on_is_refused_as_try_later(consuming: Consuming) -> None:
    topic = consuming.create("a", 2)
    slow = joined(consuming, topic, 2)
    slow.seek(0)
    slow.poll()
    slow.consumer.close(0.0)  # its session is over; what a stopped process (SIGSTOP) would find out when it wakes
    zombie = consuming.member(session="1.5s")
    until(lambda: len(zombie.assigned) == 2, zombie)
    zombie.seek(0)
    zombie.poll()
    consuming.proxy.blackhole()  # only the zombie stands behind it
    other = directly(consuming)
    until(lambda: len(other.assigned) == 2, other)
    consuming.proxy.heal()

    def refused() -> bool:
        try:
            zombie.consumer.commit({Partition(topic, 0): 1})
        except TryLater:
            return True
        except Retryable:
            return False
        raise AssertionError("a process that had lost its partitions could commit")

    eventually(refused, 20)
    assert other.consumer.committed(sorted(other.assigned)) == {}
    until(lambda: len(zombie.changes) > 1, zombie, other)
    assert all_of(topic, 2) <= zombie.changes[1].revoked | zombie.changes[-1].revoked


@pytest.mark.requirement("R8.4")
@pytest.mark.parametrize("offset", [2, 99])
def test_an_offset_that_kafka_no_longer_has_is_a_lost_position_and_no_silent_jump(
    consuming: Consuming, offset: int
) -> None:
    topic = consuming.create("a", 1)
    consuming.admin.produce(topic, numbers(0, 10))
    consuming.admin.forget(topic, 5)
    member = joined(consuming, topic, 1)
    member.seek(offset)

    def lost() -> bool:
        try:
            member.poll()
        except PositionLost as exc:
            assert exc.code == "offset.out_of_range"
            assert exc.hint
            return True
        return False

    eventually(lost, 30)
    assert member.records == {}


def test_records_removed_while_they_are_read_are_a_lost_position(consuming: Consuming) -> None:
    topic = consuming.create("a", 1)
    consuming.admin.produce(topic, numbers(0, 10))
    member = joined(consuming, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 10, member)
    consuming.proxy.blackhole()
    consuming.admin.produce(topic, numbers(10, 20))
    consuming.admin.forget(topic, 15)
    consuming.proxy.heal()
    raised: list[Exception] = []

    def ended() -> bool:
        try:
            member.poll()
        except PositionLost as exc:
            raised.append(exc)
        except Retryable:
            pass
        return bool(raised) or len(member.values(topic)) == 20

    eventually(ended, 30)
    # Either the fetch was answered before the records were removed, or their loss is told: never a gap.
    assert raised or member.values(topic) == numbers(0, 20)


@pytest.mark.requirement("R8.1")
def test_polls_shorter_than_a_rebalance_still_join_the_group(
    consuming: Consuming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known of kafka-python: see cdc_cli/consume/kafka_python_joining.py."""
    module = "confluent" if consuming.driver == "confluent" else "kafka_python"
    monkeypatch.setattr(f"cdc_cli.consume.{module}._LOOK_FOR_TOPICS_EVERY", 0.2)
    first = consuming.create("a", 2)
    consuming.proxy.latency(0.05)
    member = consuming.member()
    until(lambda: len(member.assigned) == 2, member)
    second = consuming.create("b", 2)
    until(lambda: member.assigned == all_of(first, 2) | all_of(second, 2), member)
    member.seek(0)
    consuming.admin.produce(second, numbers(0, 3))
    until(lambda: member.values(second) == numbers(0, 3), member)


@pytest.mark.requirement("R8.1")
def test_members_that_are_away_when_a_rebalance_ends_still_come_to_an_end(
    consuming: Consuming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is away while the other polls, as a member is that waits for PostgreSQL."""
    module = "confluent" if consuming.driver == "confluent" else "kafka_python"
    monkeypatch.setattr(f"cdc_cli.consume.{module}._LOOK_FOR_TOPICS_EVERY", 0.2)
    first = consuming.create("a", 2)
    members = [consuming.member(), consuming.member(), consuming.member()]

    def shared(*topics: str) -> Callable[[], bool]:
        everything = sorted(p for topic in topics for p in all_of(topic, 2))
        return lambda: sorted(p for member in members for p in member.assigned) == everything

    until(shared(first), *members)
    second = consuming.create("b", 2)
    until(shared(first, second), *members)


def test_a_broker_that_refuses_connections_costs_no_descriptors(consuming: Consuming) -> None:
    """The collector may be hours away: kafka-python left a socket behind for each attempt."""
    topic = consuming.create("a", 1)
    member = joined(consuming, topic, 1)
    member.seek(0)
    member.poll()
    before = descriptors()
    gc.disable()
    try:
        consuming.proxy.refuse()
        consuming.proxy.cut()
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            with contextlib.suppress(Retryable):
                member.consumer.poll(0.1, 100)
        assert descriptors() <= before + 2
    finally:
        gc.enable()


@pytest.mark.requirement("R12.1", "R12.2")
def test_a_silent_broker_stops_the_records_but_no_poll_and_afterwards_they_go_on(consuming: Consuming) -> None:
    topic = consuming.create("a", 1)
    consuming.admin.produce(topic, numbers(0, 5))
    member = joined(consuming, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 5, member)
    consuming.proxy.blackhole()
    consuming.admin.produce(topic, numbers(5, 10))
    for _ in range(5):
        began = time.monotonic()
        raised = bounded(lambda: member.consumer.poll(0.2, 100))
        assert raised is None or isinstance(raised, Retryable)
        assert time.monotonic() - began < BOUND
    raised = bounded(lambda: member.consumer.commit({Partition(topic, 0): 5}))
    assert isinstance(raised, Retryable | TryLater)
    consuming.proxy.heal()
    read_on(member, topic, 10)
    assert member.values(topic) == numbers(0, 10)


@pytest.mark.requirement("R9.3")
def test_close_comes_back_in_time_when_the_broker_is_silent(consuming: Consuming) -> None:
    topic = consuming.create("a", 1)
    member = joined(consuming, topic, 1)
    member.seek(0)
    member.poll()
    consuming.proxy.blackhole()
    assert bounded(lambda: member.consumer.close(1.0)) is None
    assert bounded(lambda: member.consumer.close(1.0)) is None


@pytest.mark.requirement("R12.2")
def test_starting_without_a_broker_says_so_in_time_and_leaves_nothing_behind(consuming: Consuming) -> None:
    consuming.proxy.blackhole()
    before = threading.active_count()
    member = consuming.member(start=False)
    assert isinstance(bounded(member.consumer.start), Retryable)
    assert bounded(lambda: member.consumer.close(1.0)) is None
    eventually(lambda: threading.active_count() <= before)


@pytest.mark.requirement("R12.1")
def test_a_restarted_broker_takes_nothing_away_and_the_group_goes_on(consuming: Consuming) -> None:
    topic = consuming.create("a", 2)
    consuming.admin.produce(topic, numbers(0, 5))
    member = joined(consuming, topic, 2)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 5, member)
    member.consumer.commit({Partition(topic, 0): 5})
    consuming.kafka.restart()
    consuming.admin.produce(topic, numbers(5, 10))
    read_on(member, topic, 10)
    assert member.values(topic) == numbers(0, 10)
    assert patiently(lambda: member.consumer.committed([Partition(topic, 0)])) == {Partition(topic, 0): 5}
