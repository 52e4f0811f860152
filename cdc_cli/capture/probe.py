"""Asking MongoDB about a position by really opening a change stream there; nothing is read or changed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from bson import decode
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from cdc_cli.capture.cursor import ChangeCursor, change_stream_stage
from cdc_cli.capture.errors import HISTORY_LOST, TOKEN_UNUSABLE, TOO_LARGE, translate
from cdc_cli.capture.pipeline import match_stage
from cdc_cli.checkpoint.record import decode_cluster_time
from cdc_cli.errors import Retryable
from cdc_cli.events import Mark
from cdc_cli.settings.models import MongoSettings
from cdc_cli.settings.shard import Shard

_NOT_A_TOKEN = frozenset({9, 15, 40647, 40648, 40649, 50811})
"""What MongoDB 6.0 answers to documents that are no token of any MongoDB: parse errors of several layers."""
_IDS_ONLY: Mapping[str, Any] = {"$project": {"_id": 1}}


class Resumable(StrEnum):
    """Whether a stream can go on at a position."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Probe(NamedTuple):
    """The verdict and why, as a clause for people; the reason of a plain yes is empty."""

    verdict: Resumable
    reason: str = ""


def probe(client: MongoClient[Any], settings: MongoSettings, mark: Mark) -> Probe:
    """Whether `cdc watch` could go on at `mark`; never raises for what the server answers or fails to answer.

    Blocks for a second where there is nothing to send; else until the server has found the first change,
    which may take it through the whole oplog, so the client's socket timeout is what bounds it.
    """
    start_at = None if mark.token else mark.cluster_time
    if not mark.token and start_at is None:
        return Probe(Resumable.NO, "the record names neither a token nor a time")
    try:
        _open_and_read(client, settings, mark, start_at)
    except OperationFailure as exc:
        if exc.code in TOKEN_UNUSABLE and mark.token and mark.cluster_time is not None:
            again = probe(client, settings, mark._replace(token={}))
            return again._replace(reason=again.reason or "not after the token, but from its cluster time")
        return _verdict(exc)
    except PyMongoError as exc:
        return Probe(Resumable.UNKNOWN, translate("opening a change stream", exc).message)
    return Probe(Resumable.YES)


def now_mark(client: MongoClient[Any], settings: MongoSettings, shard: Shard | None = None) -> Mark:
    """The post-batch token of a stream that starts now. Blocks; raises Retryable, Denied, ConfigError."""
    cursor = ChangeCursor(client, settings.database, decode)
    stage = change_stream_stage(None, None, "default", "none", settings.database is None)
    try:
        token = cursor.open([stage, match_stage(settings, shard)]).token
    except PyMongoError as exc:
        raise translate("opening a change stream to learn the token of now", exc) from exc
    finally:
        cursor.close()
    if token is None:
        raise Retryable("MongoDB gave no token for a stream that starts now", "it must be 4.2 or newer")
    return Mark(dict(token), None, decode_cluster_time(token), is_event=False)


def _open_and_read(
    client: MongoClient[Any], settings: MongoSettings, mark: Mark, start_at: tuple[int, int] | None
) -> None:
    """Opening alone checks nothing: the server looks for the position at the first read."""
    cursor = ChangeCursor(client, settings.database, RawBSONDocument)
    stage = change_stream_stage(mark, start_at, "default", "none", settings.database is None)
    try:
        cursor.open([stage, match_stage(settings), _IDS_ONLY])
        cursor.more(1)
    finally:
        cursor.close()


def _verdict(exc: OperationFailure) -> Probe:
    if exc.code == TOO_LARGE:
        return Probe(Resumable.YES, "the next event is over 16 MB")
    said = translate("opening a change stream", exc).message
    if exc.code == HISTORY_LOST or exc.code in TOKEN_UNUSABLE | _NOT_A_TOKEN:
        return Probe(Resumable.NO, said)
    return Probe(Resumable.UNKNOWN, said)
