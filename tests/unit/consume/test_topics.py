"""Which topics are read: those of the configuration, never the dead letters."""

from __future__ import annotations

from typing import Any

from cdc_cli.consume.topics import literal_topics, select_topics
from cdc_cli.settings.models import Settings


def settings(**mongodb: Any) -> Settings:
    return Settings.model_validate(
        {
            "name": "prod",
            "mongodb": {"uri": "mongodb://h", **mongodb},
            "kafka": {"bootstrap_servers": ["k:9092"]},
            "postgres": {"dsn": "postgresql://h"},
        }
    )


EXISTING = [
    "cdc.dlq.another-pipeline",
    "cdc.game.players",
    "cdc.game.matches",
    "cdc.other.players",
    "cdc.dlq.prod",
    "__consumer_offsets",
    "x",
]


def test_listed_collections_are_read_by_name() -> None:
    here = settings(database="game", collections=["players", "guilds"])
    assert literal_topics(here) == {"cdc.game.players", "cdc.game.guilds"}
    assert select_topics(here, EXISTING) == {"cdc.game.players"}


def test_all_collections_of_a_database_are_discovered() -> None:
    here = settings(database="game")
    assert literal_topics(here) is None
    assert select_topics(here, EXISTING) == {"cdc.game.players", "cdc.game.matches"}


def test_globs_and_a_whole_deployment_are_discovered_without_the_dead_letters() -> None:
    assert select_topics(settings(database="game", collections=["p*"]), EXISTING) == {"cdc.game.players"}
    assert select_topics(settings(), EXISTING) == {"cdc.game.players", "cdc.game.matches", "cdc.other.players"}
