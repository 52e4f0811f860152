"""One suite for both Consumers, kafka-python and confluent-kafka, on Apache Kafka, behind a proxy."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdc_cli.consume import Consumer, Partition, RawRecord, Rebalance
from cdc_cli.demo.servers import ApacheKafka
from cdc_cli.errors import PositionLost, Retryable, TryLater
from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from tests.support.kafka_site import KafkaSite, kafka_settings
from tests.support.proxy import Proxy
from tests.support.topics import Topics
from tests.support.waiting import eventually

pytestmark = pytest.mark.requirement("R4.1", "R4.2")
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
class Site:
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
def site(
    request: pytest.FixtureRequest,
    kafka: ApacheKafka,
    kafka_proxy: Proxy,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka")
        monkeypatch.setattr("cdc_cli.consume.confluent._TIMEOUT", 2.0)
        monkeypatch.setattr("cdc_cli.consume.confluent._CONNECT_SECONDS", 2.0)
    with KafkaSite(kafka.bootstrap, topic_prefix) as admin:
        made = Site(kafka, admin, kafka_proxy, request.param, set(), [])
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


def joined(site: Site, topic: str, partitions: int) -> Member:
    """A member that was given all partitions of the topic, not yet positioned."""
    member = site.member()
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


def test_nothing_is_delivered_before_seek_and_seek_decides_from_where(site: Site) -> None:
    topic = site.create("a", 2)
    site.admin.produce(topic, numbers(0, 10), 0)
    site.admin.produce(topic, numbers(0, 10), 1)
    member = joined(site, topic, 2)
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


def test_seek_moves_a_running_partition_back_and_forth(site: Site) -> None:
    topic = site.create("a", 1)
    site.admin.produce(topic, numbers(0, 10))
    member = joined(site, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 10, member)
    member.records.clear()
    member.seek(4)
    until(lambda: len(member.values(topic)) >= 6, member)
    assert member.values(topic) == numbers(4, 10)
    member.records.clear()
    member.seek(10)
    site.admin.produce(topic, [b"new"])
    until(lambda: bool(member.values(topic)), member)
    assert member.values(topic) == [b"new"]


@pytest.mark.requirement("R4.3")
def test_records_come_as_raw_bytes_whatever_they_hold(site: Site) -> None:
    topic = site.create("a", 1)
    poison: list[bytes | None] = [b"{bad", None, b"", b"\xff\xfe\x00", b"[" * 3000, b"{}"]
    site.admin.produce(topic, poison, key=b"\xff")
    member = joined(site, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) >= len(poison), member)
    records = member.records[Partition(topic, 0)]
    assert [record.value for record in records] == poison
    assert {record.key for record in records} == {b"\xff"}
    assert [record.offset for record in records] == list(range(len(poison)))
    assert all(abs(record.timestamp / 1000 - time.time()) < 3600 for record in records)
    assert all(list(record.headers or ()) == [] for record in records)


@pytest.mark.requirement("R8.1", "R8.2")
def test_two_members_share_the_partitions_and_are_told_what_changes_hands(site: Site) -> None:
    topic = site.create("a", 4)
    first = joined(site, topic, 4)
    first.seek(0)
    second = site.member()
    until(lambda: len(first.assigned) == len(second.assigned) == 2, first, second)
    assert first.assigned | second.assigned == all_of(topic, 4)
    assert not first.assigned & second.assigned
    gone = all_of(topic, 4) - first.assigned
    assert any(gone <= change.revoked for change in first.changes)
    for partition in all_of(topic, 4):
        site.admin.produce(topic, numbers(0, 5), partition.number)
    first.seek(0)
    second.seek(0)
    until(lambda: len(first.values(topic)) == len(second.values(topic)) == 10, first, second)
    assert set(first.records) == first.assigned
    assert set(second.records) == second.assigned
    second.consumer.close(5.0)
    until(lambda: len(first.assigned) == 4, first)


def test_partitions_given_in_a_rebalance_deliver_nothing_before_they_are_positioned_again(site: Site) -> None:
    topic = site.create("a", 2)
    for number in range(2):
        site.admin.produce(topic, numbers(0, 5), number)
    first = joined(site, topic, 2)
    first.seek(0)
    until(lambda: len(first.values(topic)) == 10, first)
    second = site.member()
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    first.records.clear()
    for number in range(2):
        site.admin.produce(topic, numbers(5, 10), number)
    end = time.monotonic() + 1.0
    until(lambda: time.monotonic() > end, first, second)
    assert first.records == {}
    assert second.records == {}
    first.seek(5)
    second.seek(5)
    until(lambda: len(first.values(topic)) == len(second.values(topic)) == 5, first, second)


def test_a_paused_partition_delivers_nothing_until_it_is_resumed_and_stays_ours(site: Site) -> None:
    topic = site.create("a", 2)
    member = joined(site, topic, 2)
    member.seek(0)
    until(lambda: True, member)
    paused, running = Partition(topic, 0), Partition(topic, 1)
    member.consumer.pause([paused])
    site.admin.produce(topic, numbers(0, 5), 0)
    site.admin.produce(topic, numbers(0, 5), 1)
    until(lambda: len(member.records.get(running, ())) == 5, member)
    end = time.monotonic() + 0.5
    until(lambda: time.monotonic() > end, member)
    assert paused not in member.records
    member.consumer.resume([paused])
    until(lambda: len(member.records.get(paused, ())) == 5, member)
    assert [r.value for r in member.records[paused]] == numbers(0, 5)
    assert len(member.changes) == 1


def test_partitions_that_were_paused_with_records_at_hand_all_go_on_although_others_are_busy(site: Site) -> None:
    topic = site.create("a", 3)
    for number in range(3):
        site.admin.produce(topic, numbers(0, 4000), number)
    member = joined(site, topic, 3)
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
        site.admin.produce(topic, numbers(0, 500), 0)
        member.poll()
        others = [len(member.records.get(partition, ())) for partition in everything[1:]]
        if others == [4000, 4000]:
            return
    raise AssertionError(f"of 4000 records in each of the other partitions, {others} came")


@pytest.mark.requirement("R4.2", "R8.3")
def test_only_explicit_offsets_are_committed_and_committed_tells_them(site: Site) -> None:
    topic = site.create("a", 3)
    for number in range(3):
        site.admin.produce(topic, numbers(0, 10), number)
    member = joined(site, topic, 3)
    partitions = sorted(member.assigned)
    assert member.consumer.committed(partitions) == {}
    member.seek(0)
    until(lambda: len(member.values(topic)) == 30, member)
    member.consumer.commit({Partition(topic, 0): 4, Partition(topic, 1): 0})
    assert member.consumer.committed(partitions) == {Partition(topic, 0): 4, Partition(topic, 1): 0}
    member.consumer.commit({Partition(topic, 0): 2})
    member.consumer.close(5.0)
    with Topics(site.kafka.bootstrap) as topics:
        assert topics.committed(site.group) == {(topic, 0): 2, (topic, 1): 0}


def test_bounds_tell_the_first_offset_kept_and_the_next_one(site: Site) -> None:
    topic = site.create("a", 2)
    site.admin.produce(topic, numbers(0, 10), 0)
    site.admin.forget(topic, 6)
    member = joined(site, topic, 2)
    bounds = member.consumer.bounds(sorted(member.assigned))
    assert dict(bounds) == {Partition(topic, 0): (6, 10), Partition(topic, 1): (0, 0)}


@pytest.mark.requirement("R12.5")
def test_a_partition_that_is_not_known_yet_is_asked_for_again(site: Site) -> None:
    topic = site.create("a", 1)
    member = joined(site, topic, 1)
    with pytest.raises(Retryable):
        member.consumer.bounds([Partition(topic, 0), Partition(topic, 9)])


@pytest.mark.requirement("R8.3")
def test_a_commit_after_the_group_moved_on_is_refused_as_try_later(site: Site) -> None:
    topic = site.create("a", 2)
    slow = joined(site, topic, 2)
    slow.seek(0)
    slow.poll()
    slow.consumer.close(0.0)  # its session is over; what a stopped process (SIGSTOP) would find out when it wakes
    zombie = site.member(session="1.5s")
    until(lambda: len(zombie.assigned) == 2, zombie)
    zombie.seek(0)
    zombie.poll()
    site.proxy.blackhole()  # only the zombie stands behind it
    other = _direct(site)
    until(lambda: len(other.assigned) == 2, other)
    site.proxy.heal()

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


def _direct(site: Site) -> Member:
    """A member of the group that does not come through the proxy."""
    settings = kafka_settings(site.kafka.bootstrap, consumer={"session_timeout": "6s"})
    site.consumers.append(site.make_consumer(settings))
    site.consumers[-1].start()
    return Member(site.consumers[-1])


@pytest.mark.requirement("R8.4")
@pytest.mark.parametrize("offset", [2, 99])
def test_an_offset_that_kafka_no_longer_has_is_a_lost_position_and_no_silent_jump(site: Site, offset: int) -> None:
    topic = site.create("a", 1)
    site.admin.produce(topic, numbers(0, 10))
    site.admin.forget(topic, 5)
    member = joined(site, topic, 1)
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


def test_records_removed_while_they_are_read_are_a_lost_position(site: Site) -> None:
    topic = site.create("a", 1)
    site.admin.produce(topic, numbers(0, 10))
    member = joined(site, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 10, member)
    site.proxy.blackhole()
    site.admin.produce(topic, numbers(10, 20))
    site.admin.forget(topic, 15)
    site.proxy.heal()
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
def test_a_new_topic_is_found_by_refresh(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "confluent" if site.driver == "confluent" else "kafka_python"
    monkeypatch.setattr(f"cdc_cli.consume.{module}._LOOK_FOR_TOPICS_EVERY", 0.5)
    member = site.member()
    member.poll()
    assert member.assigned == set()
    first = site.create("a", 1)
    until(lambda: member.assigned == all_of(first, 1), member)
    member.seek(0)
    site.admin.produce(first, numbers(0, 3))
    until(lambda: member.values(first) == numbers(0, 3), member)
    second = site.create("b", 2)
    until(lambda: member.assigned == all_of(first, 1) | all_of(second, 2), member)
    member.records.clear()
    member.consumer.seek(Partition(first, 0), 3)
    for number in range(2):
        member.consumer.seek(Partition(second, number), 0)
    site.admin.produce(first, numbers(3, 5))
    site.admin.produce(second, numbers(0, 2), 1)
    until(lambda: len(member.values(first)) == len(member.values(second)) == 2, member)
    assert member.values(first) == numbers(3, 5)


@pytest.mark.requirement("R8.1")
def test_polls_shorter_than_a_rebalance_still_join_the_group(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known of kafka-python: see cdc_cli/consume/kafka_python_joining.py."""
    module = "confluent" if site.driver == "confluent" else "kafka_python"
    monkeypatch.setattr(f"cdc_cli.consume.{module}._LOOK_FOR_TOPICS_EVERY", 0.2)
    first = site.create("a", 2)
    site.proxy.latency(0.05)
    member = site.member()
    until(lambda: len(member.assigned) == 2, member)
    second = site.create("b", 2)
    until(lambda: member.assigned == all_of(first, 2) | all_of(second, 2), member)
    member.seek(0)
    site.admin.produce(second, numbers(0, 3))
    until(lambda: member.values(second) == numbers(0, 3), member)


@pytest.mark.requirement("R8.1")
def test_members_that_are_away_when_a_rebalance_ends_still_come_to_an_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is away while the other polls, as a member is that waits for PostgreSQL."""
    module = "confluent" if site.driver == "confluent" else "kafka_python"
    monkeypatch.setattr(f"cdc_cli.consume.{module}._LOOK_FOR_TOPICS_EVERY", 0.2)
    first = site.create("a", 2)
    members = [site.member(), site.member(), site.member()]

    def shared(*topics: str) -> Callable[[], bool]:
        everything = sorted(p for topic in topics for p in all_of(topic, 2))
        return lambda: sorted(p for member in members for p in member.assigned) == everything

    until(shared(first), *members)
    second = site.create("b", 2)
    until(shared(first, second), *members)


def test_a_broker_that_refuses_connections_costs_no_descriptors(site: Site) -> None:
    """The collector may be hours away: kafka-python left a socket behind for each attempt."""
    topic = site.create("a", 1)
    member = joined(site, topic, 1)
    member.seek(0)
    member.poll()
    before = descriptors()
    gc.disable()
    try:
        site.proxy.refuse()
        site.proxy.cut()
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            with contextlib.suppress(Retryable):
                member.consumer.poll(0.1, 100)
        assert descriptors() <= before + 2
    finally:
        gc.enable()


@pytest.mark.requirement("R12.1", "R12.2")
def test_a_silent_broker_stops_the_records_but_no_poll_and_afterwards_they_go_on(site: Site) -> None:
    topic = site.create("a", 1)
    site.admin.produce(topic, numbers(0, 5))
    member = joined(site, topic, 1)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 5, member)
    site.proxy.blackhole()
    site.admin.produce(topic, numbers(5, 10))
    for _ in range(5):
        began = time.monotonic()
        raised = bounded(lambda: member.consumer.poll(0.2, 100))
        assert raised is None or isinstance(raised, Retryable)
        assert time.monotonic() - began < BOUND
    raised = bounded(lambda: member.consumer.commit({Partition(topic, 0): 5}))
    assert isinstance(raised, Retryable | TryLater)
    site.proxy.heal()
    read_on(member, topic, 10)
    assert member.values(topic) == numbers(0, 10)


@pytest.mark.requirement("R9.3")
def test_close_comes_back_in_time_when_the_broker_is_silent(site: Site) -> None:
    topic = site.create("a", 1)
    member = joined(site, topic, 1)
    member.seek(0)
    member.poll()
    site.proxy.blackhole()
    assert bounded(lambda: member.consumer.close(1.0)) is None
    assert bounded(lambda: member.consumer.close(1.0)) is None


@pytest.mark.requirement("R12.2")
def test_starting_without_a_broker_says_so_in_time_and_leaves_nothing_behind(site: Site) -> None:
    site.proxy.blackhole()
    before = threading.active_count()
    member = site.member(start=False)
    assert isinstance(bounded(member.consumer.start), Retryable)
    assert bounded(lambda: member.consumer.close(1.0)) is None
    eventually(lambda: threading.active_count() <= before)


@pytest.mark.requirement("R12.1")
def test_a_restarted_broker_takes_nothing_away_and_the_group_goes_on(site: Site) -> None:
    topic = site.create("a", 2)
    site.admin.produce(topic, numbers(0, 5))
    member = joined(site, topic, 2)
    member.seek(0)
    until(lambda: len(member.values(topic)) == 5, member)
    member.consumer.commit({Partition(topic, 0): 5})
    site.kafka.restart()
    site.admin.produce(topic, numbers(5, 10))
    read_on(member, topic, 10)
    assert member.values(topic) == numbers(0, 10)
    assert _patiently(lambda: member.consumer.committed([Partition(topic, 0)])) == {Partition(topic, 0): 5}


def _patiently(ask: Callable[[], Mapping[Partition, int]]) -> Mapping[Partition, int]:
    answers: list[Mapping[Partition, int]] = []

    def answered() -> bool:
        try:
            answers.append(ask())
        except Retryable:
            return False
        return True

    eventually(answered, 30)
    return answers[0]


