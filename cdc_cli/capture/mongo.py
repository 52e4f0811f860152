"""The change stream with its fallbacks: what ends a naive reader does not end this one.

An event over 16 MB is read without its document, which is then looked up; an event that cannot be decoded is
read raw; a stream that the server ended (its database was dropped) is opened again after its last token; a
token whose event is filtered away now gives way to its cluster time (at least once, nothing skipped).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from functools import partial
from typing import Any

from bson import CodecOptions, decode, decode_all
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from cdc_cli import failpoints
from cdc_cli.capture import Captured, Undecodable
from cdc_cli.capture.cursor import ChangeCursor, Reply, change_stream_stage
from cdc_cli.capture.decode import event_of, position_of
from cdc_cli.capture.errors import TOKEN_UNUSABLE, TOO_LARGE, translate
from cdc_cli.capture.pipeline import match_stage
from cdc_cli.capture.quick import Quick, QuickDecoder, captured
from cdc_cli.capture.read_ahead import ReadAhead
from cdc_cli.capture.start import Start
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import Mark, Position
from cdc_cli.observe.log import EventLog
from cdc_cli.settings.models import MongoSettings
from cdc_cli.settings.shard import Shard

log = EventLog(__name__)

_BATCH, _FIRST_BATCH = 1000, 100
_BATCH_BYTES = 2 << 20
"""A batch is asked for in events; about so many bytes of BSON, and a few at once."""
_PATIENCE = 0.25
"""Seconds that `read` waits for an answer: the caller looks after other things in between."""
_RAW_FOR = 1000
"""Events read raw after one that could not be decoded, before the fast way is tried again."""
_SLIM: dict[str, Any] = {"$project": {"fullDocument": 0, "fullDocumentBeforeChange": 0, "updateDescription": 0}}


class _Mode(Enum):
    FAST = "whole batches"
    SINGLE = "one by one, to find an event over 16 MB"
    SLIM = "the next event without its document"
    RAW = "undecoded, to find an event that cannot be decoded"


class MongoCapture:
    """A `Capture` of one database or the whole deployment. `waited` is told the seconds of each wait for MongoDB."""

    def __init__(
        self,
        client: MongoClient[Any],
        settings: MongoSettings,
        start: Start,
        codec: CodecOptions[Any],
        decode_document: Callable[[bytes], Mapping[str, Any]],
        waited: Callable[[float], object] = lambda _seconds: None,
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
        shard: Shard | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._start = start
        self._codec = codec
        self._decode_document = decode_document
        self._waited = waited
        self._asking = asking
        self._shard = shard
        self._batches: ReadAhead | None = None
        self._pending: Iterator[Quick | Mapping[str, Any]] = iter(())
        self._left = 0
        self._mode = _Mode.FAST
        self._raw_left = 0
        self._batch = _FIRST_BATCH
        self._last: Mark | None = None
        self._previous: Position | None = None
        self._alive = True

    def open(self, after: Mark | None, now: bool = False) -> Mark:
        self._last = after
        self._previous = after.position if after is not None else None
        self._mode = _Mode.FAST
        start_at = None if now else self._start_at(after)
        try:
            return self._open(start_at)
        except OperationFailure as exc:
            return self._fall_back(exc)
        except Exception as exc:
            raise translate("opening the change stream", exc) from exc

    def read(self) -> Captured | Mark | None:
        try:
            change = next(self._pending, None)
        except InvalidBSON as exc:
            return self._recover(exc)
        except Exception as exc:
            raise translate("decoding a change", exc) from exc
        if change is None:
            return self._more()
        self._left -= 1
        if not isinstance(change, Quick):
            return self._capture(change)
        item = captured(change, self._previous)
        self._last = mark = item[1]
        self._previous = mark[1]
        return item

    @property
    def has_more(self) -> bool:
        return self._left > 0

    def close(self) -> None:
        batches, self._batches = self._batches, None
        self._pending, self._left = iter(()), 0
        if batches is not None:
            batches.close()

    def _start_at(self, after: Mark | None) -> tuple[int, int] | None:
        """A mark without a token (set by an operator) and a first start name a time instead."""
        if after is None:
            return self._start.cluster_time(self._client)
        return None if after.token else after.cluster_time

    def _open(self, start_at: tuple[int, int] | None = None) -> Mark:
        self.close()
        settings, slim = self._settings, self._mode is _Mode.SLIM
        codec = CodecOptions(document_class=RawBSONDocument) if self._mode is _Mode.RAW else self._codec
        decoder = QuickDecoder(codec) if self._mode is _Mode.FAST else partial(decode, codec_options=codec)
        cursor = ChangeCursor(self._client, settings.database, decoder)
        stage = change_stream_stage(
            self._last,
            start_at,
            "default" if slim else settings.full_document,
            "none" if slim else settings.pre_images,
            settings.database is None,
        )
        reply = cursor.open([stage, match_stage(settings, self._shard), *([_SLIM] if slim else [])])
        self._batches, self._alive = ReadAhead(cursor, self._mode is _Mode.FAST, self._asking), reply.alive
        if self._last is None or (start_at is not None and reply.token):
            self._last = Mark(dict(reply.token or {}), self._previous, start_at, is_event=False)
        return self._last

    def _fall_back(self, exc: OperationFailure) -> Mark:
        """A token that this pipeline cannot resume from: go back to its cluster time, if that is known."""
        last = self._last
        if exc.code not in TOKEN_UNUSABLE or last is None or last.cluster_time is None or not last.token:
            raise translate("opening the change stream", exc) from exc
        log.warn(
            "stream.fell_back",
            "MongoDB cannot resume after the stored token (error %s); reading again from its cluster time %d.%d",
            exc.code,
            *last.cluster_time,
        )
        self._previous = None
        try:
            return self._open(last.cluster_time)
        except Exception as again:
            raise translate("opening the change stream at its cluster time", again) from again

    def _more(self) -> Mark | Captured | None:
        try:
            if not self._alive:
                self._reopen_ended()
            assert self._batches is not None, "read() before open()"
            count = self._batch if self._mode in (_Mode.FAST, _Mode.RAW) else 1
            begun = time.monotonic()
            reply = self._batches.take(count, _PATIENCE)
            self._waited(time.monotonic() - begun)
        except OperationFailure as exc:
            return self._recover(exc)
        except Exception as exc:
            raise translate("reading the change stream", exc) from exc
        return self._take(reply) if reply is not None else None

    def _take(self, reply: Reply) -> Mark | Captured | None:
        assert self._batches is not None
        self._alive = reply.alive
        if reply.changes:
            average = reply.size / len(reply.changes)
            self._batch = max(1, min(_BATCH, int(_BATCH_BYTES / average)))
        self._batches.ask_ahead(self._batch)
        if reply.changes:
            failpoints.hit("capture.after_read")
            self._pending, self._left = iter(reply.changes), len(reply.changes)
            return self.read()
        token = dict(reply.token) if reply.token is not None else None
        if token is None or (self._last is not None and token == self._last.token):
            return None
        time = self._start.time_of(token)
        self._last = Mark(token, self._previous, time, is_event=False)
        return self._last

    def _recover(self, exc: OperationFailure | InvalidBSON) -> Mark | None:
        """Meet the next event again in a mode that gets past it; a mode that does not help raises."""
        if isinstance(exc, InvalidBSON) and self._mode is not _Mode.RAW:
            self._switch(_Mode.RAW)
            self._raw_left = _RAW_FOR
        elif isinstance(exc, OperationFailure) and exc.code == TOO_LARGE and self._mode is not _Mode.SLIM:
            self._switch(_Mode.SLIM if self._mode is _Mode.SINGLE else _Mode.SINGLE)
        elif isinstance(exc, OperationFailure) and exc.code in TOKEN_UNUSABLE:
            return self._fall_back(exc)
        else:
            raise translate("reading the change stream", exc) from exc
        return None

    def _switch(self, mode: _Mode) -> None:
        log.info("stream.mode", "reading the change stream %s", mode.value)
        self._mode = mode
        try:
            self._open()
        except Exception as exc:
            raise translate("opening the change stream again", exc) from exc

    def _reopen_ended(self) -> None:
        """The server ended the stream without an error: what it watched was dropped. It goes on after the token."""
        log.info("stream.ended", "the change stream was ended by the server (database dropped?); opening it again")
        self._open()

    def _capture(self, change: Mapping[str, Any]) -> Captured | Mark | None:
        if self._mode is not _Mode.FAST:
            return self._capture_carefully(change)
        new = tuple.__new__
        self._previous = position = position_of(change, self._previous)
        mark = new(Mark, (change["_id"], position, position[:2], True))
        self._last = mark
        try:
            return new(Captured, (event_of(change, position), mark))
        except KeyError:
            return self._not_an_event(change, mark)

    def _not_an_event(self, change: Mapping[str, Any], mark: Mark) -> Mark:
        """`invalidate` and whatever later servers add: its token counts, the stream ends or goes on behind it."""
        log.info("stream.other", "the change stream reports %s", change.get("operationType"))
        return mark

    def _capture_carefully(self, change: Mapping[str, Any]) -> Captured | Mark | None:
        if self._mode is _Mode.RAW:
            return self._capture_raw(change)
        was_slim, mode = self._mode is _Mode.SLIM, self._mode
        self._mode = _Mode.FAST
        captured = self._capture(change)
        self._mode = mode
        if was_slim:
            self._switch(_Mode.FAST)
            return self._look_up(captured)
        return captured

    def _look_up(self, captured: Captured | Mark | None) -> Captured | Mark | None:
        """Fill in the document of an event that was too large to carry it; it may be newer, as in updateLookup."""
        if not isinstance(captured, Captured) or isinstance(captured.event, Undecodable):
            return captured
        event = captured.event
        raw_codec = CodecOptions(document_class=RawBSONDocument)
        collection = self._client[event.database].get_collection(event.collection, codec_options=raw_codec)
        try:
            found = None if event.operation == "delete" else collection.find_one({"_id": event.id})
        except Exception as exc:
            raise translate(f"reading a document of {event.namespace}", exc) from exc
        missing = found is None and event.operation != "delete"
        raw = bytes(found.raw) if found is not None else b""
        try:
            document = self._decode_document(raw) if raw else None
        except PoisonEvent as exc:
            return captured._replace(event=Undecodable(raw, exc.code, exc.message, event.namespace, event.position))
        return captured._replace(event=event._replace(document=document, update=None, missing=missing))

    def _capture_raw(self, change: Mapping[str, Any]) -> Captured | Mark | None:
        assert isinstance(change, RawBSONDocument)
        self._raw_left -= 1
        raw = bytes(change.raw)
        frame = decode_all(raw, CodecOptions(document_class=RawBSONDocument))[0]
        position = position_of(frame, self._previous)
        mark = Mark(_plain(frame["_id"]), position, (position[0], position[1]), True)
        self._previous, self._last = position, mark
        try:
            event = event_of(self._decode_document(raw), position)
        except PoisonEvent as exc:
            self._raw_left = _RAW_FOR
            namespace = _plain(frame["ns"]) if "ns" in frame else {}
            name = f"{namespace.get('db')}.{namespace.get('coll')}"
            return Captured(Undecodable(raw, exc.code, exc.message, name, position), mark)
        except KeyError:
            return self._not_an_event({"operationType": frame.get("operationType")}, mark)
        if self._raw_left <= 0:
            self._switch(_Mode.FAST)
        return Captured(event, mark)


def _plain(document: Any) -> dict[str, Any]:
    return dict(document.items())


