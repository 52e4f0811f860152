"""The rule that names the bottleneck."""

from __future__ import annotations

import pytest

from cdc_cli.bench.verdict import (
    LATENCY_ADVICE,
    TITLES,
    LatencyLimit,
    Limit,
    advice,
    bottleneck,
    evidence,
    latency_limit,
    sync_shares,
    watch_shares,
)


def test_the_largest_share_is_the_bottleneck() -> None:
    assert bottleneck({Limit.PROCESS: 0.5, Limit.MONGODB: 0.4, Limit.KAFKA: 0.1}) is Limit.PROCESS
    assert bottleneck({Limit.PROCESS: 0.3, Limit.MONGODB: 0.4, Limit.KAFKA: 0.1}) is Limit.MONGODB


def test_a_saturated_process_is_the_bottleneck_whatever_its_threads_wait_for() -> None:
    others = {Limit.KAFKA: 0.1, Limit.LANES: 0.1, Limit.POSTGRESQL: 0.9}
    assert bottleneck({Limit.PROCESS: 0.85, **others}) is Limit.PROCESS
    assert bottleneck({Limit.PROCESS: 0.84, **others}) is Limit.POSTGRESQL


def test_what_watch_waits_for_after_the_last_change_is_kafka() -> None:
    shares = watch_shares({"mongodb": 1.0, "kafka": 2.0}, tail=3.0, wall=10.0, cpu=1.0)
    assert shares == pytest.approx(
        {Limit.PROCESS: 0.1, Limit.MONGODB: 0.1, Limit.KAFKA: 0.5, Limit.MACHINE: 0.3}
    )  # fmt: skip
    assert bottleneck(shares) is Limit.KAFKA


def test_a_loop_that_neither_waits_nor_computes_has_no_core_to_run_on() -> None:
    assert bottleneck(watch_shares({"mongodb": 2.0}, tail=0.0, wall=10.0, cpu=3.0)) is Limit.MACHINE
    assert watch_shares({"mongodb": 6.0}, tail=0.0, wall=10.0, cpu=6.0)[Limit.MACHINE] == 0


def test_the_lanes_times_are_averages_and_waiting_with_all_the_others_for_kafka_is_not_theirs() -> None:
    shares = sync_shares({"kafka": 2.0, "lanes": 1.0}, {"postgresql": 20.0, "other": 8.0}, 4, wall=10.0, cpu=3.0)
    assert shares == pytest.approx(
        {Limit.PROCESS: 0.3, Limit.KAFKA: 0.2, Limit.LANES: 0.1, Limit.POSTGRESQL: 0.5}
    )  # fmt: skip
    assert bottleneck(shares) is Limit.POSTGRESQL


def test_a_single_busy_lane_is_told_as_lanes_and_not_as_kafka() -> None:
    shares = sync_shares({"kafka": 0.5}, {"postgresql": 9.0, "other": 1.0}, 8, wall=10.0, cpu=1.0)
    assert bottleneck(shares) is Limit.LANES


def test_the_evidence_begins_with_the_limit() -> None:
    shares = {Limit.PROCESS: 0.25, Limit.MONGODB: 0.6, Limit.KAFKA: 0.01}
    said = evidence(shares, Limit.MONGODB)
    assert said.startswith("60% of the time waiting for MongoDB, 0.25 cores")


@pytest.mark.parametrize("has_confluent", [False, True])
def test_every_outcome_has_its_advice(has_confluent: bool) -> None:
    stages = {"watch": watch_shares({}, 0.0, 1.0, 0.0), "sync": sync_shares({}, {}, 1, 1.0, 0.0)}
    given = [advice(stage, limit, has_confluent) for stage, shares in stages.items() for limit in shares]
    assert len(set(given)) == 8
    assert any("confluent" in text for text in given) is not has_confluent
    assert set(TITLES) == set(Limit)
    assert set(LATENCY_ADVICE) == set(LatencyLimit)


@pytest.mark.parametrize(
    ("p50", "backlog", "cpu", "expected"),
    [
        (0.3, False, 0.2, LatencyLimit.BATCHING),
        (0.1, False, 0.2, LatencyLimit.ROUND_TRIPS),
        (0.3, False, 0.9, LatencyLimit.PROCESS),
        (0.3, True, 0.9, LatencyLimit.BACKLOG),
    ],
)
def test_the_latency_is_explained_by_the_first_that_holds(
    p50: float, backlog: bool, cpu: float, expected: LatencyLimit
) -> None:
    assert latency_limit(p50, 0.5, backlog, cpu) is expected
