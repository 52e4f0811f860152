"""`cdc bench` as a user runs it, on the servers of a pipeline of his own: what it tells, and that nothing stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient
from pymongo import MongoClient

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo
from cdc_cli.demo.servers.process import wait_until
from tests.support.cdc_process import CdcProcess, environment
from tests.support.pipeline import Pipeline


class Places:
    """All places that a bench could leave something in."""

    def __init__(self, mongo: EmbeddedMongo, kafka: ApacheKafka, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.folder = pipeline.folder / "tmp"
        self.folder.mkdir()
        self.mongo: MongoClient[dict[str, Any]] = MongoClient(mongo.uri)
        self.admin = KafkaAdminClient(bootstrap_servers=[kafka.bootstrap])

    @property
    def environment(self) -> dict[str, str]:
        return {"TMPDIR": str(self.folder)}

    def left(self) -> list[str]:
        """What is there now whose name begins as a bench's does, and the schema `cdc`, which this database had not."""
        topics = [*self.admin.list_topics(), *(group["group_id"] for group in self.admin.list_groups())]
        schemas = [name for (name,) in self.pipeline.query("SELECT nspname::text FROM pg_namespace")]
        names = [*self.mongo.list_database_names(), *topics, *schemas, *(path.name for path in self.folder.iterdir())]
        return [name for name in names if name.startswith("cdc_bench") or name == "cdc"]

    def start(self, *arguments: str) -> CdcProcess:
        config = self.pipeline.write_config()
        log = self.pipeline.folder / f"bench-{config.name}.log"
        return CdcProcess(log, "bench", "-c", str(config), *arguments, env=self.environment)


@pytest.fixture
def places(mongo: EmbeddedMongo, kafka: ApacheKafka, pipeline: Pipeline) -> Iterator[Places]:
    made = Places(mongo, kafka, pipeline)
    yield made
    made.mongo.close()
    made.admin.close()


def test_all_figures_come_with_a_bottleneck_and_nothing_is_left_behind(places: Places) -> None:
    ended = places.pipeline.run(
        "bench", "--events", "2000", "--rate", "100", "--seconds", "2", "--yes", "-o", "json", env=places.environment,
        timeout=180,
    )  # fmt: skip
    assert ended.code == 0, ended.stderr
    answer = json.loads(ended.stdout)
    stages = {(stage["stage"], stage["work"]): stage for stage in answer["result"]["stages"]}
    assert list(stages) == [
        ("watch", "inserts"), ("sync", "inserts"), ("watch", "updates"), ("sync", "updates"), ("sync", "stale"),
    ]  # fmt: skip
    for stage in stages.values():
        assert stage["events"] >= 2000
        assert stage["events_per_second"] > 0
        assert stage["bottleneck"] in stage["shares"]
        assert stage["advice"] and stage["evidence"]
    inserts, updates, stale = (stages["sync", work]["counts"] for work in ("inserts", "updates", "stale"))
    assert inserts["inserted"] == stages["watch", "inserts"]["events"]
    assert updates["updated"] > 0
    assert stale["stale"] + stale.get("merged", 0) == stages["sync", "stale"]["events"]
    latency = answer["result"]["latency"]
    assert latency["missing"] == 0
    assert latency["samples"] >= 150
    assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"] <= latency["max_ms"]
    assert latency["bottleneck"] in ("batching", "round_trips", "process", "backlog")
    assert answer["result"]["left_behind"] == []
    assert places.left() == []


def test_without_a_terminal_and_without_yes_only_the_plan_is_told(places: Places) -> None:
    ended = places.pipeline.run("bench", "-o", "json", env=places.environment)
    assert ended.code == 0
    assert json.loads(ended.stdout)["summary"] == {"executed": False}
    assert "collections in the database cdc_bench" in ended.stderr
    assert "--yes carries it out" in ended.stderr
    assert places.left() == []


@pytest.mark.parametrize("phase", ["sync: inserts from Kafka", "latency:"])
def test_a_signal_in_the_middle_leaves_nothing_behind(places: Places, phase: str) -> None:
    with places.start("--events", "2000", "--seconds", "60", "--yes") as bench:
        bench.wait_until(lambda: phase in bench.text(), phase, 90)
        assert bench.stop(signal.SIGTERM, 60) == 143
    assert "left behind" not in bench.text()
    assert places.left() == []


def test_what_a_killed_run_left_is_removed_by_clean_and_a_running_one_is_left_alone(places: Places) -> None:
    with places.start("--only", "latency", "--seconds", "60", "--yes") as bench:
        bench.wait_until(lambda: "latency:" in bench.text(), "the latency part", 90)
        assert wait_until(lambda: any(name.endswith("_latency") for name in places.left()), 60)
        busy = places.pipeline.run("bench", "--clean", "--yes", "-o", "json", env=places.environment)
        assert busy.code == 0, busy.stderr
        answer = json.loads(busy.stdout)["result"]
        assert (answer["found"], len(answer["running"])) == ([], 1)
        bench.kill()
    assert len(places.left()) > 4
    plan = places.pipeline.run("bench", "--clean", env=places.environment)
    assert "nothing was done" in plan.stderr
    assert len(places.left()) > 4
    done = places.pipeline.run("bench", "--clean", "--yes", "-o", "json", env=places.environment, timeout=90)
    assert done.code == 0, done.stderr
    kinds = {removed["kind"] for removed in json.loads(done.stdout)["result"]["removed"]}
    assert kinds == {"MongoDB collection", "Kafka group", "Kafka topic", "PostgreSQL schema", "folder"}
    assert places.left() == []


def test_what_cannot_be_removed_is_named_with_the_command(places: Places) -> None:
    """PostgreSQL refuses everything: the bench fails at its start, and tells what may be there."""
    places.pipeline.set("postgres.dsn", "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1")
    ended = places.pipeline.run("bench", "--events", "100", "--yes", env=places.environment)
    assert ended.code == 69
    assert "left behind: PostgreSQL schema cdc_bench_" in ended.stderr
    assert 'psql: DROP SCHEMA IF EXISTS "cdc_bench_' in ended.stderr
    assert places.left() == []


def test_at_a_terminal_it_asks_and_no_is_no(tmp_path: Path) -> None:
    """Nothing is connected to before the answer: these servers do not exist."""
    config = tmp_path / "cdc.yaml"
    kafka = {"bootstrap_servers": ["h:1"]}
    config.write_text(json.dumps({"mongodb": {"uri": "mongodb://h"}, "kafka": kafka, "postgres": {"dsn": "host=h"}}))
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "cdc_cli", "bench", "-c", str(config)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment()) as process:
        os.write(ours, b"n\n")
        code = process.wait(60)
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    assert code == 0, said
    assert "Do it? [y/N]" in said
    assert "nothing was done" in said
