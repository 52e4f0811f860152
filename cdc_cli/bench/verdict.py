"""What limits a stage, and what to do about it. Pure.

The rule: a process that uses 0.85 of a core or more is the limit itself, because one Python interpreter computes on
one core; what it seems to wait for meanwhile is mostly its own other threads. Otherwise the largest share wins. The
shares of a stage are measured independently and need not add up to one:

- `mongodb`: the time that the loop of watch waited for changes;
- `kafka`: for watch the time that it waited for acknowledgements, because the limit of what may be in flight was
  reached or because everything was read; for sync the time that it waited for records with nothing left to write;
- `postgresql`: the time that a lane waited in SQL, for a connection, or for its turn, on the average of all lanes;
- `lanes`: the time that a lane had no batch although there were records, on the average: they belong to other lanes
  (few keys), are not enough for a batch (`syncer.batch.max_wait`), or are not handed over as fast;
- `process`: CPU time of this process, in cores;
- `machine`: for watch what is left of the time then: its loop neither waited nor computed, it had no core to run on.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

SATURATED = 0.85
"""Of a core."""


class Limit(StrEnum):
    """What a stage spends its time on."""

    PROCESS = "process"
    MONGODB = "mongodb"
    KAFKA = "kafka"
    LANES = "lanes"
    POSTGRESQL = "postgresql"
    MACHINE = "machine"


TITLES: Mapping[Limit, str] = {
    Limit.PROCESS: "this process",
    Limit.MONGODB: "MongoDB",
    Limit.KAFKA: "Kafka",
    Limit.LANES: "the lanes",
    Limit.POSTGRESQL: "PostgreSQL",
    Limit.MACHINE: "this machine",
}

Shares = Mapping[Limit, float]


def bottleneck(shares: Shares) -> Limit:
    """See the module; `shares` has `process` and those of what the stage can wait for."""
    if shares[Limit.PROCESS] >= SATURATED:
        return Limit.PROCESS
    return max(shares, key=lambda limit: shares[limit])


def watch_shares(waited: Mapping[str, float], tail: float, wall: float, cpu: float) -> Shares:
    """`waited`: seconds by label of `watch_waited` while there was something to read; `tail`: seconds from the last
    change read to the last acknowledgement.
    """
    mongodb, kafka = waited.get("mongodb", 0.0), waited.get("kafka", 0.0) + tail
    return {
        Limit.PROCESS: cpu / wall,
        Limit.MONGODB: mongodb / wall,
        Limit.KAFKA: kafka / wall,
        Limit.MACHINE: max(0.0, wall - cpu - mongodb - kafka) / wall,
    }


def sync_shares(
    read: Mapping[str, float], lanes: Mapping[str, float], workers: int, wall: float, cpu: float
) -> Shares:
    """`read`, `lanes`: seconds by label of `sync_waited` and `lane_busy`; those of the lanes are of all together."""
    kafka = read.get("kafka", 0.0) / wall
    without_batch = max(0.0, 1 - sum(lanes.values()) / (wall * workers))
    return {
        Limit.PROCESS: cpu / wall,
        Limit.KAFKA: kafka,
        Limit.LANES: max(0.0, without_batch - kafka),
        Limit.POSTGRESQL: lanes.get("postgresql", 0.0) / (wall * workers),
    }


def evidence(shares: Shares, limit: Limit) -> str:
    """The shares in words, the limit first."""
    words = {
        Limit.PROCESS: "{:.2f} cores of CPU used by this process",
        Limit.MONGODB: "{:.0%} of the time waiting for MongoDB",
        Limit.KAFKA: "{:.0%} waiting for Kafka",
        Limit.LANES: "{:.0%} of the lanes' time without a batch though there was work",
        Limit.POSTGRESQL: "{:.0%} of the lanes' time waiting for PostgreSQL",
        Limit.MACHINE: "{:.0%} ready to run without a core",
    }
    order = [limit, *(other for other in shares if other is not limit)]
    return ", ".join(words[each].format(shares[each]) for each in order)


def advice(stage: str, limit: Limit, has_confluent: bool) -> str:
    """One line: what helps, and what does not."""
    driver = "" if has_confluent else "install the faster driver (pip install 'cdc-toolkit[confluent]'), or "
    texts = {
        ("watch", Limit.PROCESS): f"{driver}divide the collections among several `cdc watch`, each with its own name",
        ("watch", Limit.MONGODB): "MongoDB delivers no faster: look at its CPU, disk and network; for updates it "
        "looks every document up (mongodb.full_document)",
        ("watch", Limit.KAFKA): "acknowledgements set the pace: look at the brokers' disks and replication; on a "
        "slow network try kafka.producer.compression and a larger kafka.producer.batch_size",
        ("watch", Limit.MACHINE): "other programs use the cores of this machine: run it where it has one of its own",
        ("sync", Limit.PROCESS): f"{driver}run a second `cdc sync` in the same group; more workers do not help",
        ("sync", Limit.KAFKA): "records come no faster: look at the brokers' disks and the network, or give the "
        "topics more partitions (kafka.create_topics.partitions)",
        ("sync", Limit.LANES): "the lanes wait for records of theirs: try fewer workers (syncer.workers) or smaller "
        "batches (syncer.batch.max_rows); a larger --events shows it better",
        ("sync", Limit.POSTGRESQL): "more workers do not help: look at PostgreSQL's disk (commits) and CPU, indexes "
        "and triggers, and postgres.max_concurrent_writes",
    }
    return texts[stage, limit]


class LatencyLimit(StrEnum):
    """What most of the latency is."""

    BACKLOG = "backlog"
    PROCESS = "process"
    BATCHING = "batching"
    ROUND_TRIPS = "round_trips"


def latency_limit(p50: float, max_wait: float, has_backlog: bool, cpu: float) -> LatencyLimit:
    """The first that holds: not everything arrived or the queue grew; a saturated process; a median of at least 0.4
    of `syncer.batch.max_wait`; otherwise the way through the servers. Times in seconds, `cpu` in cores.
    """
    if has_backlog:
        return LatencyLimit.BACKLOG
    if cpu >= SATURATED:
        return LatencyLimit.PROCESS
    return LatencyLimit.BATCHING if p50 >= 0.4 * max_wait else LatencyLimit.ROUND_TRIPS


LATENCY_TITLES: Mapping[LatencyLimit, str] = {
    LatencyLimit.BACKLOG: "a growing backlog",
    LatencyLimit.PROCESS: "this process",
    LatencyLimit.BATCHING: "collecting batches",
    LatencyLimit.ROUND_TRIPS: "the way through the servers",
}

LATENCY_ADVICE: Mapping[LatencyLimit, str] = {
    LatencyLimit.BACKLOG: "the rate is more than the pipeline takes: see its rates, or lower --rate",
    LatencyLimit.PROCESS: "watch, sync and the bench share this process: lower --rate for a fair figure",
    LatencyLimit.BATCHING: "a lower syncer.batch.max_wait lowers the latency, for smaller transactions",
    LatencyLimit.ROUND_TRIPS: "nothing of ours waits on purpose: the servers' commits and the network are what is left",
}
