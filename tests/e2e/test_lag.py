"""How far behind the services are, as `/metrics` and `/status` tell it."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import NamedTuple

import psycopg2
import pytest

from cdc_cli.demo.servers.process import free_port
from tests.support.pipeline import Pipeline

SAMPLE = re.compile(r'^(cdc_\w+)\{topic="([^"]+)",partition="(\d+)"\} (\S+)$', re.MULTILINE)


class Lag(NamedTuple):
    """Of all partitions of the players: records together, seconds of the worst; -1 while there is no figure."""

    records: float
    seconds: float


def page(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
        text: str = response.read().decode()
        return text


def lag(pipeline: Pipeline, port: int) -> Lag:
    found: dict[str, list[float]] = {"cdc_consumer_lag_records": [], "cdc_sink_lag_seconds": []}
    for name, topic, _, value in SAMPLE.findall(page(port, "/metrics")):
        if topic == pipeline.topic("players") and name in found:
            found[name].append(float(value))
    records, seconds = found.values()
    return Lag(sum(records) if records else -1, max(seconds, default=-1))


@pytest.mark.requirement("R10.1")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_the_lag_rises_while_postgresql_is_blocked_and_falls_back_to_zero(pipeline: Pipeline, client: str) -> None:
    port = free_port()
    pipeline.set("kafka.client", client)
    watch = pipeline.watch()
    sync = pipeline.sync(changes={"http.enabled": True, "http.bind": f"127.0.0.1:{port}"})
    players = pipeline.database.players
    players.insert_many([{"_id": number} for number in range(60)])
    pipeline.wait_in_sync(watch, sync)
    pipeline.wait_until(lambda: lag(pipeline, port) == (0, 0), "it has caught up")
    blocker = psycopg2.connect(pipeline.dsn)
    try:
        blocker.cursor().execute("LOCK TABLE players IN ACCESS EXCLUSIVE MODE")
        players.update_many({}, {"$set": {"level": 2}})
        pipeline.wait_until(lambda: lag(pipeline, port).records == 60, "all of the changes wait")
        first = lag(pipeline, port).seconds
        assert first > 0
        pipeline.wait_until(lambda: lag(pipeline, port).seconds > first + 2, "they grow older")
        status = json.loads(page(port, "/status"))["gauges"]
        worst = max(one["value"] for one in status["cdc_sink_lag_seconds"])
        assert worst > first + 2
        assert {one["topic"] for one in status["cdc_consumer_lag_records"]} >= {pipeline.topic("players")}
    finally:
        blocker.close()
    pipeline.wait_in_sync(watch, sync)
    pipeline.wait_until(lambda: lag(pipeline, port) == (0, 0), "it has caught up again")


def test_the_age_of_what_kafka_has_is_told_by_watch(pipeline: Pipeline) -> None:
    port = free_port()
    pipeline.watch(changes={"http.enabled": True, "http.bind": f"127.0.0.1:{port}"})
    pipeline.database.players.insert_one({"_id": 1})

    def seconds() -> float:
        found = re.search(r"^cdc_source_lag_seconds (\S+)$", page(port, "/metrics"), re.MULTILINE)
        return float(found[1]) if found else -1

    pipeline.wait_until(lambda: 0 <= seconds() < 60, "a figure")
