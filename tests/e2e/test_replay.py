"""`cdc replay` and `cdc dlq` as processes, on a real broker and a real PostgreSQL."""

from __future__ import annotations

import datetime
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

from cdc_cli.demo.servers import ApacheKafka
from cdc_cli.demo.servers.process import free_port
from cdc_cli.workers.replay import Tally
from tests.support.cdc_process import CdcProcess, Ended
from tests.support.journal import Journal
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics

Journals = Callable[..., Journal]
HOUR_MS = 3_600_000


@pytest.fixture
def topics(kafka: ApacheKafka) -> Iterator[Topics]:
    with Topics(kafka.bootstrap) as opened:
        yield opened


@pytest.fixture
def journal(kafka: ApacheKafka, pipeline: Pipeline) -> Iterator[Journals]:
    """Makes the topic of a collection (`players`), to write to it by hand."""
    made: list[Journal] = []

    def make(collection: str = "players", partitions: int = 2) -> Journal:
        made.append(Journal(kafka.bootstrap, pipeline.topic(collection), partitions))
        return made[-1]

    yield make
    for one in made:
        one.close()


def envelope(done: Ended) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def replayed(pipeline: Pipeline, *args: str, code: int = 0) -> dict[str, Any]:
    """Execute, and return the summary."""
    done = pipeline.run("replay", *args, "--execute", "-o", "json")
    assert done.code == code, done.stderr
    summary: dict[str, Any] = envelope(done)["summary"]
    assert summary["read"] == sum(summary[field.name] for field in fields(Tally) if field.name != "read")
    return summary


def iso(ms: int) -> str:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).isoformat()


def live_offsets(pipeline: Pipeline, topics: Topics) -> tuple[Any, Any]:
    """Where `cdc sync` stands, in Kafka and in PostgreSQL."""
    stored = pipeline.query("SELECT topic, partition, next_offset, owner FROM cdc.offsets ORDER BY 1, 2")
    return topics.committed(pipeline.group), stored


def fill(pipeline: Pipeline, count: int = 60) -> None:
    """Inserts, updates and deletes in MongoDB."""
    players = pipeline.database.players
    players.insert_many([{"_id": number, "level": 1} for number in range(count)])
    players.update_many({"_id": {"$lt": count // 2}}, {"$inc": {"level": 1}})
    players.delete_many({"_id": {"$gte": count - 5}})


@pytest.mark.requirement("R8.5")
def test_rows_deleted_by_hand_come_back_and_replaying_twice_leaves_the_same_state(
    pipeline: Pipeline, topics: Topics
) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    fill(pipeline)
    pipeline.wait_in_sync(watch, sync)
    assert sync.stop() == 0
    before = live_offsets(pipeline, topics)
    pipeline.query("DELETE FROM players WHERE _id IN ('3', '4', '50')")

    plan = pipeline.run("replay", "--all", "-o", "json")
    assert plan.code == 0
    assert envelope(plan)["summary"] == {"executed": False, "records": 95, "covered": True}
    assert envelope(plan)["result"]["tables"] == ["public.players"]
    assert len(pipeline.differences()) == 3, "a plan changes nothing"

    lines = [json.loads(line) for line in pipeline.run("replay", "--all", "-o", "jsonl").stdout.splitlines()]
    assert sum(line["records"] for line in lines[:-1]) == lines[-1]["summary"]["records"] == 95

    first = replayed(pipeline, "--all")
    assert (first["inserted"], first["updated"], first["deleted"], first["failed"]) == (3, 0, 0, 0)
    assert pipeline.differences() == []
    rows = pipeline.query("SELECT * FROM players ORDER BY _id")
    second = replayed(pipeline, "--all")
    assert second["applied"] == 0
    assert pipeline.query("SELECT * FROM players ORDER BY _id") == rows
    assert live_offsets(pipeline, topics) == before


def test_a_replay_beside_running_services_ends_and_changes_nothing_of_theirs(
    pipeline: Pipeline, topics: Topics
) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    fill(pipeline)
    pipeline.wait_in_sync(watch, sync)
    pipeline.query("DELETE FROM players WHERE _id IN ('3', '4')")
    players = pipeline.database.players
    stop = threading.Event()

    def play() -> None:
        level = 0
        while not stop.is_set():
            level += 1
            players.update_many({"_id": {"$lt": 10}}, {"$set": {"level": level}})
            players.insert_one({"_id": f"new {level}"})
            players.delete_one({"_id": f"new {level - 2}"})

    player = threading.Thread(target=play)
    player.start()
    try:
        summaries = [replayed(pipeline, "--all"), replayed(pipeline, "--since", "1h")]
    finally:
        stop.set()
        player.join()
    assert all(summary["completed"] and not summary["failed"] for summary in summaries)
    pipeline.wait_in_sync(watch, sync)
    assert len(sync.logged("partitions.assigned")) == 1, "no rebalance"
    assert not sync.logged("partitions.fenced")


def test_the_newer_row_and_the_delete_stand_whatever_is_replayed(
    pipeline: Pipeline, journal: Journals
) -> None:
    players = journal(partitions=1)
    namespace = f"{pipeline.database.name}.players"
    for document in ({"level": 1}, {"level": 2}):
        players.event(namespace, "kept", document)
    for deleted in ({"level": 1}, None):
        players.event(namespace, "gone", deleted)
    assert replayed(pipeline, "--all")["inserted"] == 1
    old = f"{players.topic}:0"
    summary = replayed(pipeline, "--topic-partition", f"{old}:0-1")
    assert (summary["stale"], summary["applied"]) == (1, 0)
    summary = replayed(pipeline, "--topic-partition", f"{old}:2-3")
    assert (summary["stale"], summary["applied"]) == (1, 0)
    assert pipeline.rows("players") == {"kept": {"_id": "kept", "level": 2}}

    pipeline.query("INSERT INTO players SELECT 'gone', _id_type, '{}', '0', now() FROM players")
    summary = replayed(pipeline, "--topic-partition", f"{old}:3-")
    assert summary["deleted"] == 1, "a delete replays as a delete"
    assert pipeline.rows("players").keys() == {"kept"}


def test_a_replay_is_narrowed_by_time_collection_and_id(pipeline: Pipeline, journal: Journals) -> None:
    now = int(time.time() * 1000)
    players, matches = journal("players"), journal("matches")
    for collection, topic in (("players", players), ("matches", matches)):
        for hours in (5, 3, 1):
            for number in range(10):
                namespace = f"{pipeline.database.name}.{collection}"
                topic.event(namespace, f"{hours} h {number}", {}, now - hours * HOUR_MS)
    summary = replayed(pipeline, "--since", "4h", "--collection", "players")
    assert (summary["inserted"], pipeline.rows("matches")) == (20, {})
    assert {key[0] for key in pipeline.rows("players")} == {"3", "1"}

    span = ("--from", iso(now - 6 * HOUR_MS), "--until", iso(now - 2 * HOUR_MS))
    summary = replayed(pipeline, *span, "--collection", "matches", "--key", "3 h 7", "--key", "1 h 1")
    assert (summary["inserted"], summary["filtered"]) == (1, 19)
    assert pipeline.rows("matches").keys() == {"3 h 7"}
    missing = pipeline.run("replay", "--all", "--collection", "guilds")
    assert (missing.code, "there is no topic" in missing.stderr) == (2, True)


def test_what_kafka_no_longer_keeps_is_told_and_ends_with_1(pipeline: Pipeline, journal: Journals) -> None:
    now = int(time.time() * 1000)
    players = journal(partitions=1)
    for hours in (5, 4, 3, 2):
        players.event(f"{pipeline.database.name}.players", hours, {}, now - hours * HOUR_MS)
    assert pipeline.run("replay", "--since", "6h").code == 0, "nothing was ever removed"
    players.forget(0, before=2)

    plan = pipeline.run("replay", "--from", iso(now - 6 * HOUR_MS), "-o", "json")
    assert plan.code == 1
    assert (envelope(plan)["ok"], envelope(plan)["error"]) == (False, None)
    (gap,) = envelope(plan)["result"]["gaps"]
    asked, kept = (datetime.datetime.fromisoformat(gap[name]) for name in ("requested", "kept"))
    assert (kept - asked).total_seconds() == pytest.approx(3 * 3600, abs=2)
    refused = pipeline.run("replay", "--since", "6h", "--execute")
    assert (refused.code, "--allow-partial" in refused.stderr) == (1, True)
    assert "earliest kept" in refused.stdout
    assert pipeline.rows("players") == {}
    assert pipeline.run("replay", "--since", "150m").code == 0, "an older record proves that nothing is missing"
    offsets = pipeline.run("replay", "--topic-partition", f"{players.topic}:0:1-9", "-o", "json")
    assert offsets.code == 1
    kept_offsets = [gap["kept"] for gap in envelope(offsets)["result"]["gaps"]]
    assert kept_offsets == ["offset 2", "offset 4"]

    assert replayed(pipeline, "--since", "6h", "--allow-partial")["inserted"] == 2


@pytest.mark.requirement("R4.4", "R12.5")
def test_dead_letters_keep_the_original_and_replay_once_the_cause_is_mended(
    pipeline: Pipeline, topics: Topics, journal: Journals
) -> None:
    pipeline.set("dead_letter.max_replays", 2)
    players = journal(partitions=1)
    namespace = f"{pipeline.database.name}.players"
    players.event(namespace, "first", {"level": 1})
    sync = pipeline.sync()
    pipeline.wait_until(lambda: "first" in pipeline.rows("players"), "the first row")
    pipeline.query("ALTER TABLE players ADD CONSTRAINT low CHECK ((document->>'level')::int < 100)")
    junk = b"\xff no envelope \x00"
    _, junk_offset = players.record(b"some key", junk, headers=[("theirs", b"1")])
    _, null_offset = players.record(b"null", None)
    players.event(namespace, "high", {"level": 100})
    players.event(namespace, "last", {"level": 2})
    pipeline.wait_until(lambda: "last" in pipeline.rows("players"), "the row after the poison")
    pipeline.wait_until(lambda: len(topics.read([pipeline.dead_letter_topic])) == 3, "3 dead letters")
    assert pipeline.rows("players").keys() == {"first", "last"}

    letters = {int(one.headers["cdc.origin.offset"]): one for one in topics.read([pipeline.dead_letter_topic])}
    assert letters.keys() == {junk_offset, null_offset, 3}
    poison = letters[junk_offset]
    assert (poison.key, poison.value) == (b"some key", junk)
    assert poison.headers["cdc.error.code"] == b"envelope.malformed"
    assert poison.headers["cdc.origin.topic"] == players.topic.encode()
    assert poison.headers["__connect.errors.topic"] == players.topic.encode()
    assert poison.headers["cdc.replay_count"] == b"0"
    assert letters[3].headers["cdc.error.stage"] == b"apply"

    listed = envelope(pipeline.run("dlq", "list", "-o", "json"))
    assert listed["summary"] == {"letters": 3, "waiting": 3}
    assert {kind["from"] for kind in listed["result"]["kinds"]} == {players.topic}
    place = ("--partition", str(poison.partition), "--offset", str(poison.offset))
    shown = pipeline.run("dlq", "show", *place)
    assert "envelope.malformed" in shown.stdout
    assert "no envelope" not in shown.stdout
    assert "no envelope" in pipeline.run("dlq", "show", *place, "--value").stdout
    assert len(envelope(pipeline.run("dlq", "show", "-o", "json"))["result"]["letters"]) == 3

    here = f"{pipeline.dead_letter_topic}:{poison.partition}:{poison.offset}-{poison.offset + 1}"
    chosen = replayed(pipeline, "--topic-partition", here, "--collection", "players", code=1)
    assert (chosen["read"], chosen["failed"]) == (1, 1)
    assert replayed(pipeline, "--topic-partition", here, "--key", "7")["filtered"] == 1
    assert len(topics.read([pipeline.dead_letter_topic])) == 3, "chosen by hand they stay where they are"

    pipeline.query("ALTER TABLE players DROP CONSTRAINT low")
    assert sync.exit_code is None
    before = live_offsets(pipeline, topics)
    plan = pipeline.run("replay", "--dead-letters", "-o", "json")
    assert (plan.code, envelope(plan)["summary"]["records"]) == (0, 3)
    first = replayed(pipeline, "--dead-letters", code=1)
    assert (first["inserted"], first["failed"]) == (1, 2)
    assert pipeline.rows("players").keys() == {"first", "high", "last"}

    second = replayed(pipeline, "--dead-letters", code=1)
    assert (second["settled"], second["failed"], second["applied"]) == (3, 2, 0), "what was replayed waits no longer"
    third = replayed(pipeline, "--dead-letters", code=1)
    assert (third["refused"], third["failed"]) == (2, 0)
    fourth = replayed(pipeline, "--dead-letters")
    assert fourth["read"] == fourth["settled"] == 7
    kept = [one for one in topics.read([pipeline.dead_letter_topic]) if one.value == junk]
    assert [one.headers["cdc.replay_count"] for one in kept] == [b"0", b"1", b"2"]
    assert {one.headers["cdc.origin.offset"] for one in kept} == {str(junk_offset).encode()}
    assert len({one.headers["cdc.first_failed_at"] for one in kept}) == 1
    nulls = [one for one in topics.read([pipeline.dead_letter_topic]) if one.key == b"null"]
    assert [one.headers["cdc.error.code"] for one in nulls] == [b"envelope.null_value"] * 3
    assert envelope(pipeline.run("dlq", "list", "-o", "json"))["summary"] == {"letters": 7, "waiting": 0}
    assert live_offsets(pipeline, topics) == before


def test_with_on_error_stop_a_replay_ends_at_the_first_poison_with_81(
    pipeline: Pipeline, topics: Topics, journal: Journals
) -> None:
    pipeline.set("syncer.on_error", "stop")
    journal().record(b"k", b"no envelope")
    done = pipeline.run("replay", "--all", "--execute", "-o", "json")
    assert done.code == 81
    assert envelope(done)["error"]["code"] == "envelope.malformed"
    assert "still to do: --topic-partition" in done.stderr
    assert topics.read([pipeline.dead_letter_topic]) == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_between_two_batches_and_tells_what_is_left(
    pipeline: Pipeline, journal: Journals, signum: int, code: int
) -> None:
    pipeline.set("syncer.batch.max_rows", 1)
    players = journal()
    count = 4000
    for number in range(count):
        players.event(f"{pipeline.database.name}.players", number, {})
    log = pipeline.folder / "replay.log"
    with CdcProcess(log, "replay", "-c", str(pipeline.write_config()), "--all", "--execute") as replay:
        replay.wait_until(lambda: len(pipeline.rows("players")) > 20, "some rows")
        assert replay.stop(signum) == code
        done = len(pipeline.rows("players"))
    assert 20 < done < count
    pipeline.set("syncer.batch.max_rows", 1000)
    left = [line.removeprefix("still to do: ") for line in replay.text().splitlines() if "still to do" in line]
    summary = replayed(pipeline, *(word for option in left for word in option.split()))
    assert (summary["inserted"], summary["stale"]) == (count - done, 0)


@pytest.mark.requirement("R12.2")
def test_servers_that_are_down_end_the_command_with_69(pipeline: Pipeline, journal: Journals) -> None:
    players = journal()
    players.event(f"{pipeline.database.name}.players", 1, {})
    nowhere = f"127.0.0.1:{free_port()}"
    no_kafka = pipeline.run("replay", "--all", changes={"kafka.bootstrap_servers": [nowhere]})
    assert (no_kafka.code, "connecting to Kafka" in no_kafka.stderr) == (69, True)
    no_postgres = {"postgres.dsn": f"postgresql://nobody@{nowhere}/nothing"}
    assert pipeline.run("replay", "--all", changes=no_postgres).code == 0, "the plan does not need it"
    assert pipeline.run("replay", "--all", "--execute", changes=no_postgres).code == 69


def test_nothing_there_is_fine(pipeline: Pipeline) -> None:
    for command in (["replay", "--all"], ["replay", "--dead-letters", "--execute"], ["dlq", "list"], ["dlq", "show"]):
        done = pipeline.run(*command)
        assert done.code == 0, (command, done.stderr)
    absent = pipeline.run("dlq", "show", "--partition", "0", "--offset", "0")
    assert absent.code == 1
