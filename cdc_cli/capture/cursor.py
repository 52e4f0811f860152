"""One change-stream cursor, by the commands `aggregate` and `getMore` themselves.

pymongo's own `watch()` decodes every event twice when float or code values need a type decoder (its
`_decode_custom`), resumes behind our back and returns one event a call; the commands give a decoded batch at
once, the post-batch token, and leave resuming to the one place that knows what was published.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import CodecOptions, Timestamp, decode
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from cdc_cli.capture.batch import Batch, documents_of, split_reply
from cdc_cli.events import Mark, ResumeToken

log = logging.getLogger(__name__)

_RAW = CodecOptions(document_class=RawBSONDocument)

AWAIT_MS = 1000
"""How long the server waits for a first change before it answers with none."""


class Reply(NamedTuple):
    """A batch in stream order, its BSON size in bytes, and the post-batch token; `alive` is False once the server
    ended the stream.
    """

    changes: Batch[Any]
    size: int
    token: ResumeToken | None
    alive: bool


class ChangeCursor:
    """A cursor in a session of its own; raises pymongo's errors as they are."""

    def __init__(
        self, client: MongoClient[Any], database: str | None, decode_change: Callable[[bytes], Any]
    ) -> None:
        self._client = client
        self._database = client[database or "admin"]
        self._decode_change = decode_change
        self._session: ClientSession | None = None
        self._id: Any = 0

    def open(self, stages: Sequence[Mapping[str, Any]]) -> Reply:
        """Start the stream; returns at once with the token to resume from, the first changes come by `more`."""
        self._session = self._client.start_session(causal_consistency=False)
        return self._run({"aggregate": 1, "pipeline": list(stages), "cursor": {"batchSize": 0}}, "firstBatch")

    def more(self, batch_size: int) -> Reply:
        """The next changes; waits `AWAIT_MS` for a first one."""
        command = {
            "getMore": self._id,
            "collection": "$cmd.aggregate",
            "batchSize": batch_size,
            "maxTimeMS": AWAIT_MS,
        }
        return self._run(command, "nextBatch")

    def close(self) -> None:
        """Kill the cursor if it can be reached quickly; never raises."""
        session, self._session = self._session, None
        try:
            if session is not None and self._id:
                command = {"killCursors": "$cmd.aggregate", "cursors": [self._id]}
                self._database.command(command, session=session)
        except PyMongoError as exc:
            log.debug("the cursor could not be closed, the server will: %s", exc)
        finally:
            self._id = 0
            if session is not None:
                session.end_session()

    def _run(self, command: dict[str, Any], name: str) -> Reply:
        """The reply's cursor; its changes are decoded by us when they are asked for. `command` itself would
        leave a codec's type decoders out without a word, and NaN would become null on its way to JSON.
        """
        reply = self._database.command(command, codec_options=_RAW, session=self._session)
        raw = reply["cursor"].raw
        array, rest = split_reply(raw, name)
        cursor = decode(rest)
        self._id = cursor["id"]
        changes = Batch(documents_of(array), self._decode_change)
        return Reply(changes, len(raw), cursor.get("postBatchResumeToken"), bool(self._id))


def change_stream_stage(
    after: Mark | None,
    start_at: tuple[int, int] | None,
    full_document: str,
    pre_images: str,
    deployment: bool,
) -> dict[str, Any]:
    """The `$changeStream` stage: after a token, else at a cluster time, else from now."""
    options: dict[str, Any] = {}
    if full_document != "default":
        options["fullDocument"] = full_document
    if pre_images != "none":
        options["fullDocumentBeforeChange"] = pre_images
    if deployment:
        options["allChangesForCluster"] = True
    if start_at is not None:
        options["startAtOperationTime"] = Timestamp(*start_at)
    elif after is not None and after.token:
        options["startAfter"] = dict(after.token)
    return {"$changeStream": options}
