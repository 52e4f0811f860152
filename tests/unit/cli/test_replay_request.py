"""The options of `cdc replay`: what is refused, with which sentence, and what the others mean."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from cdc_cli.cli.dlq_text import printable
from cdc_cli.cli.replay_request import Asked, handling_of, selection_of, topics_of
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import Wanted
from cdc_cli.consume.ranges import Request
from cdc_cli.settings.models import Settings

NOW = 1_790_000_000.0
EXISTING = {"cdc.game.players", "cdc.game.matches", "cdc.other.players", "cdc.dlq.cdc", "theirs"}


def settings(**mongodb: Any) -> Settings:
    return Settings.model_validate(
        {
            "mongodb": {"uri": "mongodb://localhost", "database": "game", **mongodb},
            "kafka": {"bootstrap_servers": ["localhost:9092"]},
            "postgres": {"dsn": "postgresql://localhost"},
        }
    )


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Asked(), "say what to replay"),
        (Asked(collections=["players"], keys=["1"]), "say what to replay"),
        (Asked(since="2h", everything=True), "--since and --all exclude each other"),
        (Asked(since="2h", start="2026-01-01"), "exclude each other"),
        (Asked(dead_letters=True, offsets=["t:0:0-1"]), "exclude each other"),
        (Asked(dead_letters=True, failed_within="soon"), "duration with a unit"),
        (Asked(dead_letters=True, until="2026-01-01"), "--until goes with"),
        (Asked(offsets=["t:0:0-1"], until="2026-01-01"), "--until goes with"),
        (Asked(since="2"), "duration with a unit"),
        (Asked(since="0s"), "no time span"),
        (Asked(start="yesterday"), "no ISO-8601 time"),
        (Asked(everything=True, until="soon"), "no ISO-8601 time"),
        (Asked(start="2026-02-01", until="2026-01-01"), "not after the beginning"),
        (Asked(offsets=["t:0"]), "is not TOPIC:PARTITION:FIRST-END"),
        (Asked(offsets=["t:0:5-5"]), "is empty"),
        (Asked(offsets=["t:0:1-2", "t:0:4-5"]), "given twice"),
        (Asked(everything=True, keys=["{x"]), "begins like JSON"),
    ],
)
def test_nonsense_is_refused_before_anything_is_connected(asked: Asked, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        asked.check()


@pytest.mark.parametrize(
    ("asked", "request_"),
    [
        (Asked(since="2h"), Request(since_ms=int(NOW * 1000) - 7_200_000)),
        (Asked(start="2026-01-01T00:00"), Request(since_ms=1_767_225_600_000)),
        (Asked(start="2026-01-01T02:00+02:00"), Request(since_ms=1_767_225_600_000)),
        (Asked(everything=True, until="2026-01-01"), Request(until_ms=1_767_225_600_000)),
        (Asked(everything=True), Request()),
        (Asked(dead_letters=True), Request(backlog=True)),
        (
            Asked(offsets=["a.b:2:5-9", "a.b:0:0-"]),
            Request(offsets={Partition("a.b", 2): (5, 9), Partition("a.b", 0): (0, None)}),
        ),
    ],
)
def test_each_scope_becomes_a_request(asked: Asked, request_: Request) -> None:
    asked.check()
    assert asked.request(NOW) == request_


def test_a_beginning_in_the_future_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="in the future"):
        Asked(start="2100-01-01").request(NOW)


def test_the_topics_are_those_of_the_pipeline_or_of_the_collections_asked_for() -> None:
    assert topics_of(Asked(everything=True), settings(), EXISTING) == ["cdc.game.matches", "cdc.game.players"]
    players = Asked(everything=True, collections=["players"])
    assert topics_of(players, settings(), EXISTING) == ["cdc.game.players"]
    assert topics_of(Asked(dead_letters=True), settings(), EXISTING) == ["cdc.dlq.cdc"]
    assert topics_of(Asked(dead_letters=True), settings(), set()) == []
    everywhere = Asked(everything=True, collections=["other.players"])
    assert topics_of(everywhere, settings(database=None), EXISTING) == ["cdc.other.players"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Asked(everything=True, collections=["guilds"]), "no topic cdc.game.guilds"),
        (Asked(offsets=["theirs:0:0-1"]), "no topic of this pipeline"),
        (Asked(offsets=["cdc.game.guilds:0:0-1"]), "Kafka has no topic"),
    ],
)
def test_topics_that_are_not_there_or_not_ours_are_refused(asked: Asked, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        topics_of(asked, settings(), EXISTING)


def test_with_all_databases_a_collection_needs_its_database() -> None:
    with pytest.raises(typer.BadParameter, match=r"DATABASE\.COLLECTION"):
        selection_of(Asked(everything=True, collections=["players"]), settings(database=None))


def test_dead_letters_by_offset_stay_where_they_are_and_are_not_mixed_with_others() -> None:
    backlog = handling_of(Asked(dead_letters=True), settings(), NOW)
    assert (backlog.backlog, backlog.are_letters, backlog.max_replays) == (True, True, 3)
    chosen = handling_of(Asked(offsets=["cdc.dlq.cdc:0:0-1"]), settings(), NOW)
    assert (chosen.backlog, chosen.are_letters, chosen.max_replays) == (False, True, None)
    with pytest.raises(typer.BadParameter, match="in one go"):
        handling_of(Asked(offsets=["cdc.dlq.cdc:0:0-1", "cdc.game.players:0:0-1"]), settings(), NOW)


def test_the_backlog_is_narrowed_by_error_and_by_when_it_failed() -> None:
    asked = Asked(dead_letters=True, codes=["value.unsupported"], failed_within="2h")
    asked.check()
    assert asked.is_narrowed
    wanted = handling_of(asked, settings(), NOW).wanted
    assert wanted == Wanted(frozenset({"value.unsupported"}), NOW - 7200)


def test_a_collection_of_dead_letters_is_also_that_of_changes_that_never_reached_kafka() -> None:
    asked = Asked(dead_letters=True, collections=["players"])
    asked.check()
    selection = selection_of(asked, settings())
    assert [selection.takes(source, b"k") for source in ("cdc.game.players", "game.players", "game.matches")] == [
        True, True, False,
    ]
    assert not selection_of(Asked(everything=True, collections=["players"]), settings()).takes("game.players", b"k")


def test_a_dead_letter_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nü") == r"a\x1b[2Jb\nü"
