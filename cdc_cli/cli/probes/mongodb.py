"""MongoDB: a replica set, that lets us list collections and open the change stream we will need."""

from __future__ import annotations

from typing import Any

import pymongo
from pymongo import MongoClient

from cdc_cli.capture.errors import translate
from cdc_cli.capture.identity import identify
from cdc_cli.capture.pipeline import matches, stream_name
from cdc_cli.capture.probe import now_mark
from cdc_cli.cli.probes import Answer
from cdc_cli.settings.models import MongoSettings, Settings

_SHARE = 0.6
"""Of the time there is, for the driver; the rest is for its ending, so that its own words are heard."""


def probe(settings: Settings, seconds: float) -> Answer:
    """Opens and closes a stream on what would be watched. Blocks; raises ConfigError, Denied, Retryable."""
    mongodb, limit = settings.mongodb, seconds * _SHARE
    try:
        with pymongo.timeout(limit), _client(mongodb, limit) as client:
            identity = identify(client)
            now_mark(client, mongodb, settings.shard)
            version = client.server_info()["version"]
            warnings = _images(client, mongodb)
    except Exception as exc:
        raise translate("connecting to MongoDB", exc) from exc
    where = "sharded cluster" if identity.replica_set == "sharded" else f"replica set {identity.replica_set}"
    return Answer(f"{version}, {where}; a change stream on {stream_name(mongodb, settings.shard)} opens", warnings)


def _client(mongodb: MongoSettings, limit: float) -> MongoClient[Any]:
    milliseconds = int(limit * 1000)
    return MongoClient(
        mongodb.uri.get_secret_value(),
        appname="cdc config validate",
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
    )


def _images(client: MongoClient[Any], mongodb: MongoSettings) -> tuple[str, ...]:
    """Listing collections needs the right to, and tells which lack the images that are asked for."""
    if mongodb.database is None:
        client.list_database_names()
        return ()
    listed = list(client[mongodb.database].list_collections())
    wanted = [entry for entry in listed if matches(mongodb, mongodb.database, entry["name"])]
    found = []
    if not wanted:
        found.append(f"{mongodb.database} has no collection yet that mongodb.collections selects")
    if "required" in (mongodb.full_document, mongodb.pre_images):
        lacking = [e["name"] for e in wanted if not e.get("options", {}).get("changeStreamPreAndPostImages")]
        if lacking:
            found.append(
                f"{', '.join(lacking[:5])}: changeStreamPreAndPostImages is off, and required here: "
                "the stream will fail at the first update"
            )
    return tuple(found)
