"""The bench in MongoDB: collections of its own in a database of its own, filled, changed and dropped."""

from __future__ import annotations

import threading
from typing import Any

from pymongo.write_concern import WriteConcern

from cdc_cli.bench.documents import DocumentSize, document
from cdc_cli.bench.names import DATABASE, Run
from cdc_cli.bench.things import Kind, Thing, found
from cdc_cli.capture.client import connect
from cdc_cli.capture.errors import translate
from cdc_cli.errors import CdcError, Denied
from cdc_cli.settings.models import MongoSettings

_SOCKET_MS = 30_000
_CHUNK = {DocumentSize.SMALL: 5000, DocumentSize.GAME: 2000, DocumentSize.LARGE: 200}


class MongoSite:
    """A `Site`, and the writer of the workload. Every write is acknowledged by a majority."""

    kinds: tuple[Kind, ...] = (Kind.COLLECTION,)

    def __init__(self, settings: MongoSettings) -> None:
        self._client = connect(settings, "cdc:bench", _SOCKET_MS)
        self._database = self._client.get_database(DATABASE, write_concern=WriteConcern("majority"))

    def now(self) -> int:
        """The cluster time, in whole seconds. Raises CdcError."""
        try:
            return int(self._client.admin.command("ping")["operationTime"].time)
        except KeyError:
            raise Denied("MongoDB tells no cluster time", "change streams need a replica set") from None
        except Exception as exc:
            raise translate("connecting to MongoDB", exc) from exc

    def fill(self, collection: str, count: int, size: DocumentSize, stop: threading.Event) -> None:
        """Insert so many documents; ends early when `stop` is set. Raises CdcError."""
        chunk = _CHUNK[size]
        for first in range(0, count, chunk):
            if stop.is_set():
                return
            numbers = range(first, min(count, first + chunk))
            self.insert(collection, [document(number, size) for number in numbers])

    def insert(self, collection: str, documents: list[dict[str, Any]]) -> None:
        """Blocks until a majority has them. Raises CdcError."""
        try:
            self._database[collection].insert_many(documents, ordered=False)
        except Exception as exc:
            raise _with_right(translate(f"writing to MongoDB, {DATABASE}.{collection}", exc)) from exc

    def update_all(self, collection: str) -> int:
        """Change every document once; how many. Blocks. Raises CdcError."""
        try:
            return int(self._database[collection].update_many({}, {"$inc": {"level": 1}}).modified_count)
        except Exception as exc:
            raise _with_right(translate(f"updating {DATABASE}.{collection} in MongoDB", exc)) from exc

    def find(self, run: Run | None) -> list[Thing]:
        try:
            names = self._database.list_collection_names()
        except Exception as exc:
            raise translate(f"listing MongoDB's collections of {DATABASE}", exc) from exc
        return found(Kind.COLLECTION, names, run)

    def remove(self, thing: Thing) -> None:
        try:
            self._database.drop_collection(thing.name)
        except Exception as exc:
            raise translate(f"dropping {DATABASE}.{thing.name} in MongoDB", exc) from exc

    def close(self) -> None:
        self._client.close()


def _with_right(error: CdcError) -> CdcError:
    if isinstance(error, Denied):
        hint = f"the bench writes: grant the role `readWrite` on the database {DATABASE}"
        return Denied(error.message, hint, error.code)
    return error
