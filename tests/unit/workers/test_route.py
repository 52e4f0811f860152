"""The poll thread spreads records over the configured workers, a key always to the same one."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

import pytest

from cdc_cli.clock import SystemClock
from cdc_cli.consume import Partition, RawRecord, Rebalance
from cdc_cli.consume.offsets import Offsets
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import Health
from cdc_cli.retry import RetryPolicy
from cdc_cli.settings.models import RetrySettings
from cdc_cli.workers.backpressure import Buffer
from cdc_cli.workers.lanes import Lane
from cdc_cli.workers.sync import Syncer
from tests.unit.workers.test_lanes import FakeRecord

P = Partition("cdc.game.players", 0)


class FakeConsumer:
    """Assigns one partition, gives the records once, then asks for the stop."""

    def __init__(self, records: Sequence[RawRecord], stop: threading.Event) -> None:
        self.records = records
        self.stop = stop
        self.polls = 0
        self.wanted: list[int] = []
        self.sought: dict[Partition, int] = {}

    def start(self) -> None: ...
    def refresh(self) -> None: ...
    def pause(self, partitions: Sequence[Partition]) -> None: ...
    def resume(self, partitions: Sequence[Partition]) -> None: ...
    def commit(self, offsets: Mapping[Partition, int]) -> None: ...
    def close(self, timeout: float) -> None: ...

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        self.polls += 1
        self.wanted.append(max_records)
        if self.polls == 2:
            return {P: self.records}
        if self.polls > 2:
            self.stop.set()
        return {}

    def rebalance(self) -> Rebalance | None:
        return Rebalance(frozenset(), frozenset([P])) if self.polls == 1 else None

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return {}

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        return dict.fromkeys(partitions, (0, 1000))

    def seek(self, partition: Partition, offset: int) -> None:
        self.sought[partition] = offset


class FakeLedger:
    def claim(
        self, partitions: Collection[Partition], topic_ids: Mapping[str, str] | None = None
    ) -> Mapping[Partition, int]:
        return {}

    def store(self, offsets: Mapping[Partition, int]) -> None: ...
    def verify(self, partitions: Collection[Partition]) -> None: ...


def run_once(records: Sequence[RawRecord], workers: int) -> tuple[FakeConsumer, list[Lane], Counters]:
    """The poll thread until it has seen the records and polled once more."""
    stop, clock = threading.Event(), SystemClock()
    lanes = [Lane(n, 10_000, 0.0, clock) for n in range(workers)]
    consumer = FakeConsumer(records, stop)
    policy, counters = RetryPolicy(RetrySettings(), clock), Counters()
    Syncer(
        consumer,
        lanes,
        Offsets(workers),
        FakeLedger(),
        lambda topics: {},
        policy.backoff("reading"),
        Buffer(10_000, 1 << 30),
        counters,
        Health(clock),
        clock,
        stop,
    ).run()
    return consumer, lanes, counters


@pytest.mark.parametrize(("size", "wanted"), [(100, 2000), (1 << 20, 4), (20 << 20, 1)])
def test_of_large_records_fewer_are_asked_for_at_once(size: int, wanted: int) -> None:
    value = b"x" * size
    consumer, _, _ = run_once([FakeRecord(n, value=value) for n in range(40)], 4)
    assert consumer.wanted[0] < 10, "nothing is known of their size yet"
    assert consumer.wanted[-1] == wanted


@pytest.mark.requirement("R6.1", "R6.2", "R4.2")
@pytest.mark.parametrize("workers", [1, 4, 16])
def test_records_are_spread_over_the_workers_and_a_key_stays_with_one_in_order(workers: int) -> None:
    records = [FakeRecord(n, key=b"player%d" % (n % 500)) for n in range(1000)]
    consumer, lanes, counters = run_once(records, workers)
    assert consumer.sought == {P: 0}
    assert counters.snapshot()["sync_waited.kafka"] == counters.get("sync_waited") > 0
    home: dict[bytes | None, int] = {}
    for lane in lanes:
        lane.close()
        offsets = [(record.key, record.offset) for run in lane.take() for record in run.records]
        assert offsets == sorted(offsets, key=lambda pair: pair[1])
        for key, _ in offsets:
            assert home.setdefault(key, lane.number) == lane.number
    assert len(home) == 500
    assert len(set(home.values())) == workers
