"""The user's settings, pointed at the names of a run: same servers, same tuning, nothing of theirs written. Pure."""

from __future__ import annotations

from pathlib import Path

from cdc_cli.bench.names import DATABASE, Run
from cdc_cli.settings.models import Settings

_SESSION_TIMEOUT = 10.0
"""Seconds at most, so that the group of a killed run can be removed soon."""
_RETENTION = 86400.0


def bench_settings(
    settings: Settings, run: Run, folder: Path, collection: str, group: str, start_from: str = "now"
) -> Settings:
    """For one collection of the run, whose token is kept in `folder`."""
    kafka, retention = settings.kafka, min(settings.kafka.create_topics.retention, _RETENTION)
    consumer = {"group_id": group, "session_timeout": min(kafka.consumer.session_timeout, _SESSION_TIMEOUT)}
    parts = {
        "mongodb": {"database": DATABASE, "collections": [collection], "operations": ["insert", "update"]},
        "kafka": {
            "topic": "{collection}",
            "create_topics": kafka.create_topics.model_copy(update={"enabled": True, "retention": retention}),
            "consumer": kafka.consumer.model_copy(update=consumer),
        },
        "postgres": {"schema_": str(run)},
        "token_store": {
            "backend": "file",
            "file": settings.token_store.file.model_copy(update={"path": str(folder / f"{collection}.json")}),
        },
        "watcher": {"start_from": start_from, "standby": False, "shard": None},
        "syncer": {"on_error": "stop"},
        "dead_letter": {"topic": run.dead_letters},
        "alerts": {"webhook": None},
        "http": {"enabled": False},
    }
    copies = {name: getattr(settings, name).model_copy(update=update) for name, update in parts.items()}
    return settings.model_copy(update={"name": str(run), **copies})
