"""A bench has the user's servers and tuning, and nothing else of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cdc_cli.bench.documents import BYTES, DocumentSize, document
from cdc_cli.bench.names import DATABASE, Run
from cdc_cli.bench.settings import bench_settings
from cdc_cli.consume.topics import literal_topics
from cdc_cli.settings.models import Settings

RUN = Run("cdc_bench_20251124t160000a1b2c3")


def settings(**sections: Any) -> Settings:
    given: dict[str, Any] = {
        "mongodb": {"uri": "mongodb://h", "database": "game"},
        "kafka": {"bootstrap_servers": ["h:1"]},
        "postgres": {"dsn": "host=h"},
    }
    return Settings.model_validate({**given, **sections})


def test_nothing_that_is_written_to_is_the_users() -> None:
    users = settings(
        name="prod",
        kafka={"bootstrap_servers": ["h:1"], "topic": "all", "consumer": {"group_id": "theirs"}},
        token_store={"backend": "redis"},
        alerts={"webhook": "http://h/"},
        http={"enabled": True},
        watcher={"standby": True},
    )
    made = bench_settings(users, RUN, Path("/tmp/x"), RUN.events, RUN, "2026-01-01T00:00:00+00:00")
    assert literal_topics(made) == {RUN.events}
    assert (made.mongodb.database, made.mongodb.collections) == (DATABASE, [RUN.events])
    assert (made.name, made.group_id, made.dead_letter_topic) == (RUN, RUN, RUN.dead_letters)
    assert made.postgres.schema_ == RUN
    assert (made.token_store.backend, made.token_store.file.path) == ("file", f"/tmp/x/{RUN.events}.json")
    assert (made.alerts.webhook, made.http.enabled, made.watcher.standby) == (None, False, False)
    assert made.watcher.start_from == "2026-01-01T00:00:00+00:00"


def test_what_makes_it_fast_or_slow_is_the_users() -> None:
    users = settings(
        kafka={"bootstrap_servers": ["h:1"], "create_topics": {"partitions": 3, "retention": "1h"}},
        syncer={"workers": 3, "batch": {"max_rows": 77}, "on_delete": "soft"},
        postgres={"dsn": "host=h", "pool": {"min": 1, "max": 3}},
        watcher={"max_in_flight": {"events": 11}},
    )
    made = bench_settings(users, RUN, Path("/tmp/x"), RUN.events, RUN)
    assert made.syncer == users.syncer.model_copy(update={"on_error": "stop"})
    assert (made.postgres.pool, made.watcher.max_in_flight) == (users.postgres.pool, users.watcher.max_in_flight)
    assert made.kafka.create_topics == users.kafka.create_topics
    assert made.kafka.consumer.session_timeout == 10
    assert made.mongodb.uri == users.mongodb.uri


def test_documents_have_the_size_that_they_are_called() -> None:
    import bson

    def sizes(size: DocumentSize) -> list[int]:
        return [len(bson.encode({"_id": bson.ObjectId(), **document(n, size)})) for n in range(0, 1000, 7)]

    for size, average in BYTES.items():
        assert average * 0.9 < sum(sizes(size)) / len(sizes(size)) < average * 1.1
    assert 180 <= min(sizes(DocumentSize.SMALL)) <= max(sizes(DocumentSize.SMALL)) <= 220
    assert 380 <= min(sizes(DocumentSize.GAME)) <= 420
    assert 800 <= max(sizes(DocumentSize.GAME)) <= 900
    assert 18_000 <= min(sizes(DocumentSize.LARGE)) <= max(sizes(DocumentSize.LARGE)) <= 28_000
