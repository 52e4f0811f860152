"""Several watchers share the documents of one database: nothing is lost, and nothing is sent by two of them."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from bson import json_util

from cdc_cli.checkpoint.siblings import token_path
from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo
from cdc_cli.settings.load import load
from cdc_cli.settings.shard import Shard
from tests.support.cdc_process import CdcProcess
from tests.support.pipeline import Pipeline
from tests.support.slices import owners
from tests.support.topics import Kept, Topics
from tests.support.witness import Witness, assert_log_is_complete_and_in_order
from tests.support.workload import COLLECTIONS, HOT, Workload

ALL = (*COLLECTIONS, HOT, "marker")


@pytest.fixture
def workload(mongo: EmbeddedMongo, pipeline: Pipeline) -> Iterator[Workload]:
    made = Workload(mongo.uri, pipeline.database.name, 1500, 4, writers=2)
    yield made
    made.close()


def repeated(records: list[Kept]) -> list[Kept]:
    """Records that say once more what another one said."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for record in records:
        name = (record.topic, record.event["pos"])
        found += [record] if seen[name] else []
        seen[name] += 1
    return found


def shards_of(pipeline: Pipeline, records: list[Kept], total: int) -> set[int]:
    """The shards that the documents of these records belong to."""
    ids = [json_util.loads(json_util.dumps(record.event["id"])) for record in records]
    return set(itertools.chain.from_iterable(owners(pipeline.database.client, ids, total)))


@pytest.mark.requirement("R1.1", "R2.2", "R3.3", "R8.5")
@pytest.mark.timeout(300)
def test_two_watchers_share_the_documents_and_nothing_is_lost_when_one_is_killed(
    pipeline: Pipeline, workload: Workload, kafka: ApacheKafka
) -> None:
    killed, spared = pipeline.watch("--shard", "1/2"), pipeline.watch("--shard", "2/2")
    sync = pipeline.sync()
    witness = Witness(pipeline.database)
    workload.start()
    for share in (0.3, 0.6):
        workload.wait(share)
        killed.kill()
        killed = pipeline.watch("--shard", "1/2")
    workload.finish()
    changes = witness.changes()
    pipeline.wait_in_sync(killed, spared, sync, timeout=120)
    assert [process.stop() for process in (killed, spared, sync)] == [0, 0, 0]

    with Topics(kafka.bootstrap) as topics:
        records = topics.read([pipeline.topic(name) for name in ALL])
        assert topics.read([pipeline.dead_letter_topic]) == []
    assert not pipeline.differences()
    assert_log_is_complete_and_in_order(changes, records)
    again = repeated(records)
    print(f"{len(changes)} changes, {len(again)} sent again after the kills")
    assert shards_of(pipeline, again, 2) <= {1}
    assert all(line.get("cdc.shard") == "2/2" for line in spared.lines() if line["event.action"].startswith("watch."))


def show(pipeline: Pipeline, *args: str) -> dict[str, Any]:
    """The result of `cdc token show`."""
    result: dict[str, Any] = json.loads(pipeline.run("token", "show", *args, "-o", "json").stdout)["result"]
    return result


def reset_to(pipeline: Pipeline, time: str, *shards: str) -> None:
    for shard in shards:
        ended = pipeline.run("token", "reset", "--shard", shard, "--to-datetime", time, "--yes")
        assert ended.code == 0, ended.stderr


@pytest.mark.requirement("R2.2")
@pytest.mark.timeout(300)
def test_the_number_of_shards_is_changed_without_a_loss(pipeline: Pipeline, kafka: ApacheKafka) -> None:
    players = pipeline.database.players
    sync = pipeline.sync()
    watchers: list[CdcProcess] = [pipeline.watch()]
    witness = Witness(pipeline.database)
    players.insert_many([{"_id": number, "n": 0} for number in range(50)])
    pipeline.wait_in_sync(sync, *watchers)
    assert watchers.pop().stop() == 0
    first = pipeline.token()
    assert first is not None
    players.update_many({}, {"$inc": {"n": 1}})

    refused = pipeline.watch("--shard", "1/2", ready=False)
    assert refused.wait() == 80
    assert "another division" in refused.text()
    reset_to(pipeline, show(pipeline)["record"]["time"], "1/2", "2/2")
    watchers = [pipeline.watch("--shard", "1/2"), pipeline.watch("--shard", "2/2")]
    with pipeline.database.client.start_session() as session, session.start_transaction():
        for number in range(50):
            players.update_one({"_id": number}, {"$inc": {"n": 1}}, session=session)
            players.update_one({"_id": number}, {"$inc": {"n": 1}}, session=session)
    pipeline.wait_in_sync(sync, *watchers)
    assert [watcher.stop() for watcher in watchers] == [0, 0]
    players.delete_many({"_id": {"$lt": 10}})

    shown = show(pipeline, "--shard", "*/2")
    assert [entry["stored"] for entry in shown["shards"]] == [True, True]
    reset_to(pipeline, shown["earliest"], "1/3", "2/3", "3/3")
    watchers = [pipeline.watch("--shard", f"{number}/3") for number in (1, 2, 3)]
    changes = witness.changes()
    pipeline.wait_in_sync(sync, *watchers)
    assert not pipeline.differences()
    with Topics(kafka.bootstrap) as topics:
        assert_log_is_complete_and_in_order(changes, topics.read([pipeline.topic(name) for name in ALL]))


def test_the_token_of_one_shard_is_refused_by_another(pipeline: Pipeline) -> None:
    watcher = pipeline.watch("--shard", "1/2")
    pipeline.database.players.insert_many([{"_id": number} for number in range(20)])
    settings = load([pipeline.write_config()], {}).settings
    mine, other = token_path(settings, Shard(1, 2)), token_path(settings, Shard(2, 2))
    pipeline.wait_until(mine.exists, "a token is saved")
    assert watcher.stop() == 0
    shutil.copy(mine, other)
    refused = pipeline.watch("--shard", "2/2", ready=False)
    assert refused.wait() == 78
    assert "shard 1/2, now it is" in refused.text()
    shutil.copy(mine, token_path(settings, None))
    whole = pipeline.watch(ready=False)
    assert whole.wait() == 78
    assert "shard 1/2" in show(pipeline, "--shard", "2/2")["mismatches"][0]


def test_the_whole_pipeline_in_one_process_has_no_shards(pipeline: Pipeline) -> None:
    refused = pipeline.start("run", changes={"watcher.shard": "1/2"}, ready=False)
    assert refused.wait() == 78
    assert "cdc run handles all documents" in refused.text()
