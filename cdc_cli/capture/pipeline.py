"""What is watched, as MongoDB understands it: the stream's name, its server-side filter, its fingerprint.

Pure. Names in `mongodb.collections` are literal, or globs with `*` (any run of characters) and `?` (one
character). With `mongodb.database` set an entry is a collection name, dots included. Without it an entry
`shop.orders` is `database.collection` (a database name cannot hold a dot, so the first dot divides; both
halves may be globs), and an entry without a dot means that collection in every database; `*.fs.files` is
`fs.files` in every database.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from bson.regex import Regex

from cdc_cli.bench.names import DATABASE as BENCH_DATABASE
from cdc_cli.capture.slice import slice_condition
from cdc_cli.settings.models import MongoSettings
from cdc_cli.settings.shard import Shard

UNWATCHED_DATABASES = ("admin", "config", "local", BENCH_DATABASE)
"""Not part of a deployment-wide stream: MongoDB's own, and what `cdc bench` writes."""
_GLOB = re.compile(r"(\*+|\?)")


def stream_name(settings: MongoSettings, shard: Shard | None) -> str:
    """What is watched, for people and for the token record: `deployment`, `database game, shard 1/4`."""
    whole = "deployment" if settings.database is None else f"database {settings.database}"
    return whole if shard is None else f"{whole}, shard {shard.text}"


def fingerprint(settings: MongoSettings) -> str:
    """A hash that changes exactly when a stored token would mislead: scope, collections, operations.

    Another `full_document` or `pre_images` changes what an event carries, not which events there are, so a
    token stays good. Order and repetition of names do not matter, and neither does spelling `all` as `*`.
    """
    parts = {
        "database": settings.database,
        "collections": _normal_collections(settings.collections),
        "operations": sorted(set(settings.operations)),
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def filters_text(settings: MongoSettings) -> str:
    """The filter in words: `collections players, match_*; operations insert, update`."""
    collections = ", ".join(_normal_collections(settings.collections)) or "all"
    return f"collections {collections}; operations {', '.join(sorted(set(settings.operations)))}"


def match_stage(settings: MongoSettings, shard: Shard | None = None) -> dict[str, Any]:
    """The one `$match` of the stream; the server applies it, so what is filtered costs no network.

    `invalidate` always passes: its token is where a stream goes on after its database was dropped. It has no
    namespace, hence the nulls; written as one conjunction because an `$or` at the top costs the server 2 us more
    per event (measured on 6.0).
    """
    wanted: dict[str, Any] = {"operationType": {"$in": [*sorted(set(settings.operations)), "invalidate"]}}
    if settings.database is None:
        wanted["ns.db"] = {"$nin": list(UNWATCHED_DATABASES)}
    names = _normal_collections(settings.collections)
    if names and settings.database is not None:
        wanted["ns.coll"] = {"$in": [*(_matcher(name) for name in names), None]}
    elif names:
        wanted["$or"] = _namespaces(names)
    if shard is not None:
        wanted |= slice_condition(shard)
    return {"$match": wanted}


def matches(settings: MongoSettings, database: str, collection: str) -> bool:
    """Whether a namespace is watched, by the rules of `match_stage`."""
    if settings.database is None and database in UNWATCHED_DATABASES:
        return False
    if settings.database is not None and settings.database != database:
        return False
    names = _normal_collections(settings.collections)
    if not names or settings.database is not None:
        return not names or any(_is_match(name, collection) for name in names)
    pairs = (_divide(name) for name in names)
    return any(_is_match(db, database) and _is_match(coll, collection) for db, coll in pairs)


def _normal_collections(collections: Sequence[str] | None) -> list[str]:
    """Sorted, each once; empty = all."""
    names = sorted({re.sub(r"\*+", "*", name) for name in collections or ()})
    return [] if "*" in names else names


def _divide(name: str) -> tuple[str, str]:
    """(database, collection) of an entry of a deployment-wide stream."""
    database, dot, collection = name.partition(".")
    return (database, collection) if dot else ("*", name)


def _namespaces(names: Sequence[str]) -> list[dict[str, Any]]:
    """One alternative per database pattern, each with all its collections."""
    by_database: dict[str, list[str]] = {}
    for database, collection in map(_divide, names):
        by_database.setdefault(database, []).append(collection)
    alternatives: list[dict[str, Any]] = []
    for database, collections in by_database.items():
        alternative: dict[str, Any] = {}
        if database != "*":
            alternative["ns.db"] = {"$in": [_matcher(database), None]}
        if "*" not in collections:
            alternative["ns.coll"] = {"$in": [*(_matcher(name) for name in collections), None]}
        alternatives.append(alternative)
    return alternatives


def _matcher(name: str) -> str | Regex[str]:
    """The name itself, or its glob as an anchored regular expression in a form that PCRE and Python share."""
    return Regex(rf"\A{_expression(name)}\z", "s") if _GLOB.search(name) else name


def _is_match(name: str, candidate: str) -> bool:
    return re.fullmatch(_expression(name), candidate, re.DOTALL) is not None


def _expression(name: str) -> str:
    """Everything but `*` and `?` is literal. Runs of `*` are one, or matching could take exponential time."""
    pieces = _GLOB.split(name)
    return "".join(".*" if p.startswith("*") else "." if p == "?" else re.escape(p) for p in pieces)
