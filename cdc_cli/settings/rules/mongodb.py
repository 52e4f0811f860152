"""Rules about the source and what its events can carry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cdc_cli.settings.models import Settings
from cdc_cli.settings.rules.problem import Problem, Rule, invalid, warning

_ILLEGAL_IN_DATABASE = frozenset('/\\. "$*<>:|?\0')
_SYSTEM = ("admin", "config", "local")


def uri(settings: Settings) -> Iterator[Problem]:
    """The two schemes that MongoDB knows; the rest is for its driver to check."""
    text = settings.mongodb.uri.get_secret_value()
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        yield invalid("mongodb.uri", "it must begin with mongodb:// or mongodb+srv://")


def database(settings: Settings) -> Iterator[Problem]:
    """MongoDB's rules for names of databases, and no change streams on its own."""
    name = settings.mongodb.database
    if name is None:
        return
    if name in _SYSTEM:
        yield invalid("mongodb.database", "admin, config and local have no change streams")
    elif _ILLEGAL_IN_DATABASE & set(name) or len(name.encode()) > 63:
        yield invalid("mongodb.database", "MongoDB allows no such name of a database")


def collections(settings: Settings) -> Iterator[Problem]:
    """Names and globs, without the database in front unless the whole deployment is watched."""
    mongodb, path = settings.mongodb, "mongodb.collections"
    for name in mongodb.collections or ():
        if not name or "$" in name or "\0" in name:
            yield invalid(path, "a collection name is not empty and has no $ in it")
        elif mongodb.database and name.startswith(f"{mongodb.database}."):
            message = "a name begins with the database, which mongodb.database gives already"
            yield warning("names_database", path, message, "leave the database out", "mongodb.database")
        elif mongodb.database is None and "." not in name and name != "*":
            message = "without mongodb.database, a bare name means that collection in every database"
            yield warning("every_database", path, message, "write database.collection", "mongodb.database")
            return


def operations(settings: Settings) -> Iterator[Problem]:
    """What is not captured is not applied either."""
    absent = {"insert", "update", "replace", "delete"} - set(settings.mongodb.operations)
    if absent:
        message = f"{', '.join(sorted(absent))} not captured: rows will differ from their documents"
        yield warning("partial_operations", "mongodb.operations", message)


def documents(settings: Settings) -> Iterator[Problem]:
    """sync writes whole documents; an update event without one cannot be applied."""
    mode = settings.mongodb.full_document
    if mode in ("default", "whenAvailable") and "update" in settings.mongodb.operations:
        message = f"with {mode} updates may come without their document, and sync cannot apply those"
        suggestion = "updateLookup, or required with changeStreamPreAndPostImages"
        yield warning("partial_updates", "mongodb.full_document", message, suggestion, "mongodb.operations")


def start_from(settings: Settings) -> Iterator[Problem]:
    """now, oldest, or a time."""
    text = settings.watcher.start_from
    if text in ("now", "oldest"):
        return
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        yield invalid("watcher.start_from", "now, oldest or a time such as 2026-11-23T06:00:00Z is expected")
        return
    if not 1970 <= moment.year < 2106:
        yield invalid("watcher.start_from", "MongoDB's operation times lie between 1970 and 2106")


RULES: tuple[Rule, ...] = (uri, database, collections, operations, documents, start_from)
