"""Which topics `cdc sync` reads: those of the configured collections, or all that the template can produce."""

from __future__ import annotations

import re
from collections.abc import Collection

from cdc_cli.bench.names import is_ours as is_of_a_bench
from cdc_cli.capture.pipeline import matches
from cdc_cli.publish.topics import pattern_of, topic_of, unescape
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
    """Those of the existing topics that hold our events; dead letters, also those of other pipelines, never do, nor
    what `cdc bench` makes.
    """
    wanted = literal_topics(settings)
    if wanted is not None:
        return frozenset(existing) & wanted
    pattern = pattern_of(settings.kafka.topic, settings.name, settings.mongodb.database)
    letters = re.compile(re.escape(settings.dead_letter.topic).replace(r"\{name\}", "[A-Za-z0-9._-]+"))
    return frozenset(
        topic
        for topic in existing
        if (found := pattern.fullmatch(topic))
        and not letters.fullmatch(topic)
        and not is_of_a_bench(topic)
        and _is_wanted(settings, found)
    )


def _is_wanted(settings: Settings, topic: re.Match[str]) -> bool:
    """Whether the configured collections include the one that the topic is named after, as far as it names one."""
    parts = topic.groupdict()
    database = settings.mongodb.database or unescape(parts.get("database") or "")
    collection = unescape(parts.get("collection") or "")
    if not database or not collection:
        return True
    return matches(settings.mongodb, database, collection)
