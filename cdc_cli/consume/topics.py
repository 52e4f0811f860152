"""Which topics `cdc sync` reads: those of the configured collections, or all that the template can produce."""

from __future__ import annotations

from collections.abc import Collection

from cdc_cli.publish.topics import pattern_of, topic_of
from cdc_cli.settings.models import Settings


def literal_topics(settings: Settings) -> frozenset[str] | None:
    """The topics by name when the configuration lists every collection, None when they must be discovered."""
    mongodb = settings.mongodb
    names = mongodb.collections
    if mongodb.database is None or not names or any(set(name) & set("*?") for name in names):
        return None
    template = settings.kafka.topic
    return frozenset(topic_of(template, settings.name, mongodb.database, name) for name in names)


def select_topics(settings: Settings, existing: Collection[str]) -> frozenset[str]:
    """Those of the existing topics that hold our events; the dead letters never do."""
    wanted = literal_topics(settings)
    if wanted is not None:
        return frozenset(existing) & wanted
    pattern = pattern_of(settings.kafka.topic, settings.name, settings.mongodb.database)
    return frozenset(
        topic for topic in existing if pattern.fullmatch(topic) and topic != settings.dead_letter_topic
    )
