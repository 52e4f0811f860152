"""The life of dead letters: listed, discarded or replayed, listed no longer; one process at a time settles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from kafka import KafkaAdminClient

from cdc_cli.demo.servers import ApacheKafka
from tests.support.cdc_process import CdcProcess
from tests.support.journal import Journal
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics

HELD = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'cdc dead letters: %%'"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"


@pytest.fixture
def topics(kafka: ApacheKafka) -> Iterator[Topics]:
    with Topics(kafka.bootstrap) as opened:
        yield opened


@pytest.fixture
def players(kafka: ApacheKafka, pipeline: Pipeline) -> Iterator[Journal]:
    """The topic of the collection `players`, written by hand."""
    made = Journal(kafka.bootstrap, pipeline.topic("players"), 1)
    yield made
    made.close()


@contextmanager
def blocked(pipeline: Pipeline, table: str) -> Iterator[None]:
    """Nobody can write to the table while inside."""
    connection = psycopg2.connect(pipeline.dsn)
    try:
        connection.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


def asked(pipeline: Pipeline, *args: str, code: int = 0) -> dict[str, Any]:
    """The envelope of a command."""
    done = pipeline.run(*args, "-o", "json")
    assert done.code == code, (args, done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kinds(pipeline: Pipeline, *args: str) -> dict[str, int]:
    """Error -> letters of it that wait, as the list shows them."""
    listed = asked(pipeline, "dlq", "list", *args)["result"]["kinds"]
    return {kind["code"]: kind["waiting"] for kind in listed}


def poison(pipeline: Pipeline, topics: Topics, players: Journal) -> None:
    """Four letters: two that are no events, one without a value, one that a constraint refuses."""
    namespace = f"{pipeline.database.name}.players"
    players.event(namespace, "first", {"level": 1})
    sync = pipeline.sync()
    pipeline.wait_until(lambda: "first" in pipeline.rows("players"), "the first row")
    pipeline.query("ALTER TABLE players ADD CONSTRAINT low CHECK ((document->>'level')::int < 100)")
    players.record(b"some key", b"no envelope")
    players.record(b"null", None)
    players.event(namespace, "high", {"level": 100})
    players.record(b"some key", b"no envelope either")
    pipeline.wait_until(lambda: len(topics.read([pipeline.dead_letter_topic])) == 4, "4 dead letters")
    assert sync.stop() == 0
    pipeline.query("ALTER TABLE players DROP CONSTRAINT low")


def backlog(pipeline: Pipeline, topics: Topics) -> int:
    """What a monitor shows: the lag of the letters' group."""
    ends = topics.ends([pipeline.dead_letter_topic])
    committed = topics.committed(f"{pipeline.group}-dlq")
    return sum(end - committed.get(partition, 0) for partition, end in ends.items())


def forget_group(kafka: ApacheKafka, group: str) -> None:
    """As Kafka does itself after some days with a group that has no members."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        admin.delete_groups([group])
    finally:
        admin.close()


@pytest.mark.requirement("R12.5")
def test_a_letter_waits_until_it_is_replayed_or_discarded_and_then_no_more(
    pipeline: Pipeline, kafka: ApacheKafka, topics: Topics, players: Journal
) -> None:
    poison(pipeline, topics, players)
    waiting = {"envelope.malformed": 2, "envelope.null_value": 1, "postgres.23514": 1}
    assert kinds(pipeline) == waiting

    plan = asked(pipeline, "dlq", "discard", "--code", "envelope.malformed")
    assert (plan["summary"]["letters"], plan["summary"]["executed"]) == (2, False)
    assert kinds(pipeline) == waiting, "a plan changes nothing"

    letters = asked(pipeline, "dlq", "show")["result"]["letters"]
    one = next(letter for letter in letters if letter["code"] == "envelope.malformed")
    place = f"{pipeline.dead_letter_topic}:{one['partition']}:{one['offset']}-{one['offset'] + 1}"
    chosen = asked(pipeline, "dlq", "discard", "--topic-partition", place, "--reason", "a test of theirs", "--yes")
    assert (chosen["summary"]["letters"], chosen["summary"]["executed"]) == (1, True)
    assert kinds(pipeline) == {**waiting, "envelope.malformed": 1}
    shown = asked(pipeline, "dlq", "show", "--partition", str(one["partition"]), "--offset", str(one["offset"]))
    settled = shown["result"]["letters"][0]["settled"]
    assert (settled["how"], settled["reason"]) == ("discarded", "a test of theirs")
    again = asked(pipeline, "dlq", "discard", "--topic-partition", place, "--execute")
    assert again["summary"]["letters"] == 0, "it does not wait any more"

    narrowed = asked(pipeline, "dlq", "replay", "--code", "postgres.23514", "--since", "1h", "--execute")["summary"]
    assert (narrowed["inserted"], narrowed["filtered"]) == (1, 2)
    assert (narrowed["read"], narrowed["settled"]) == (4, 1), "what was discarded is not applied"
    assert pipeline.rows("players").keys() == {"first", "high"}
    assert kinds(pipeline) == {"envelope.malformed": 1, "envelope.null_value": 1}
    other = asked(pipeline, "dlq", "replay", "--collection", "matches", "--execute")["summary"]
    assert (other["read"], other["applied"], other["failed"]) == (other["filtered"] + other["settled"], 0, 0)

    asked(pipeline, "dlq", "discard", "--code", "envelope.null_value", "--execute")
    failed = asked(pipeline, "replay", "--dead-letters", "--execute", code=1)["summary"]
    assert (failed["failed"], failed["applied"]) == (1, 0)
    assert kinds(pipeline) == {"envelope.malformed": 1}, "what fails again is a new letter"
    asked(pipeline, "dlq", "discard", "--all", "--execute")
    assert kinds(pipeline) == {}
    assert kinds(pipeline, "--all") == {"envelope.malformed": 0, "envelope.null_value": 0, "postgres.23514": 0}
    assert asked(pipeline, "dlq", "list")["summary"] == {"letters": 5, "waiting": 0}
    assert backlog(pipeline, topics) == 0

    forget_group(kafka, f"{pipeline.group}-dlq")
    assert asked(pipeline, "dlq", "list")["summary"] == {"letters": 5, "waiting": 0}, "Kafka may forget the group"
    assert asked(pipeline, "replay", "--dead-letters", "--execute")["summary"]["settled"] == 5
    assert backlog(pipeline, topics) == 0
    pipeline.query("DELETE FROM cdc.dead_letters WHERE outcome = 'replayed'")
    assert kinds(pipeline) == {"envelope.malformed": 1, "postgres.23514": 1}, "as after a restore of an older backup"


def test_two_replays_of_the_dead_letters_exclude_each_other_and_a_killed_one_lets_the_next_in(
    pipeline: Pipeline, topics: Topics, players: Journal
) -> None:
    poison(pipeline, topics, players)
    log = pipeline.folder / "replay.log"
    with blocked(pipeline, "players"):
        command = ("replay", "--dead-letters", "--execute", "-c", str(pipeline.write_config()))
        with CdcProcess(log, *command) as first:
            first.wait_until(lambda: pipeline.query(WAITING, pipeline.name) != [(0,)], "it waits for the table")
            for late in (
                ("replay", "--dead-letters", "--execute"),
                ("dlq", "replay", "--code", "envelope.malformed", "--execute"),
                ("dlq", "discard", "--all", "--execute"),
            ):
                error = asked(pipeline, *late, code=75)["error"]
                assert error["code"] == "dead_letters.held"
                assert f"process {first.pid} on " in error["message"]
            assert kinds(pipeline)["envelope.malformed"] == 2, "looking is allowed"
            assert asked(pipeline, "replay", "--dead-letters")["summary"]["records"] == 4, "and so is a plan"
            first.kill()
        pipeline.wait_until(lambda: pipeline.query(HELD, pipeline.name) == [(0,)], "PostgreSQL frees the lock")
    summary = asked(pipeline, "replay", "--dead-letters", "--execute", code=1)["summary"]
    assert (summary["read"], summary["inserted"], summary["failed"], summary["settled"]) == (4, 1, 3, 0)
