"""TokenRecord <-> bytes: JSON with a format version and a checksum, the same in every store. Pure.

    {"kind": "cdc-resume-token", "format": 1, "sha256": "...", "record": {"token": {"_data": "826B..."}, ...}}

The checksum covers the canonical text of `record`, so a torn, edited or mixed-up record never passes. The
token stands there as canonical Extended JSON, so whatever the server puts into it comes back unchanged.
A record without a token (`{}`) and with a `cluster_time` means "start at that time", as `cdc token reset
--to-datetime` leaves it: capture opens it with `start_at_operation_time`, which is inclusive.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from bson import json_util

from cdc_cli.checkpoint import FORMAT, TokenRecord, Writer
from cdc_cli.errors import PositionLost
from cdc_cli.events import Mark, Position, ResumeToken

KIND = "cdc-resume-token"
_KEYSTRING_TIMESTAMP = 0x82


def encode(record: TokenRecord) -> bytes:
    """One line of JSON, newline included."""
    body = _body(record)
    outer = {"kind": KIND, "format": record.format, "sha256": _checksum(body), "record": body}
    return (_canonical(outer) + "\n").encode("ascii")


def decode(data: bytes, where: str, hint: str) -> TokenRecord:
    """The inverse. `where` names the place and `hint` the way out, both for the operator.

    Raises PositionLost for anything but an intact record of a format that this version knows: a damaged
    position must never turn into 'start now', which would lose every change in between (invariant I2).
    """
    if not data.strip():
        raise PositionLost(f"the resume token in {where} is empty", hint, code="token.corrupt")
    try:
        outer = json.loads(data)
    except (ValueError, RecursionError) as exc:
        text = f"the resume token in {where} is damaged: not complete JSON ({len(data)} bytes)"
        raise PositionLost(text, hint, code="token.corrupt") from exc
    if not isinstance(outer, dict) or outer.get("kind") != KIND:
        text = f"{where} holds something else, not a resume token of cdc"
        raise PositionLost(text, hint, code="token.foreign")
    _check_format(outer.get("format"), where)
    body = outer.get("record")
    if _checksum(body) != outer.get("sha256"):
        text = f"the resume token in {where} is damaged: its checksum does not fit"
        raise PositionLost(text, hint, code="token.corrupt")
    try:
        return _record(body, outer["format"])
    except (KeyError, TypeError, ValueError) as exc:
        text = f"the resume token in {where} is damaged: {type(exc).__name__} {exc}"
        raise PositionLost(text, hint, code="token.corrupt") from exc


def decode_cluster_time(token: ResumeToken) -> tuple[int, int] | None:
    """(seconds, increment) that the token's `_data` begins with, None when it does not look like that.

    A KeyString in hexadecimal: type byte 0x82, then the Timestamp as two big-endian 32-bit numbers. Tokens
    are documented as opaque, so this is for display and for the time of a post-batch token, never to decide
    which of two tokens is newer.
    """
    data = token.get("_data")
    if not isinstance(data, str) or len(data) < 18:
        return None
    try:
        raw = bytes.fromhex(data[:18])
    except ValueError:
        return None
    if raw[0] != _KEYSTRING_TIMESTAMP:
        return None
    return int.from_bytes(raw[1:5], "big"), int.from_bytes(raw[5:9], "big")


def place(mark: Mark) -> tuple[int, int] | None:
    """The cluster time at which the stream goes on after this mark, None when it was not recorded."""
    known = [time for time in (mark.position and mark.position[:2], mark.cluster_time) if time]
    return max(known) if known else None


def shown_time(mark: Mark) -> tuple[int, int] | None:
    """The same for people: where it was not recorded, what the token itself says."""
    return place(mark) or decode_cluster_time(mark.token)


def is_older(new: TokenRecord, stored: TokenRecord | None) -> bool:
    """Whether saving `new` would move the position back by accident.

    A save with a `reason` is an operator's decision and may go back; so may one that belongs to another
    stream or another deployment, whose times cannot be compared.
    """
    if stored is None or new.reason or timeline(new) != timeline(stored):
        return False
    ours, theirs = place(new.mark), place(stored.mark)
    return ours is not None and theirs is not None and ours < theirs


def timeline(record: TokenRecord) -> str:
    """What two records must share for their places to be comparable."""
    return "|".join((record.stream, record.replica_set, record.cluster_id))


def _check_format(number: Any, where: str) -> None:
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= FORMAT:
        return
    if isinstance(number, int) and number > FORMAT:
        raise PositionLost(
            f"the resume token in {where} has format {number}, this version of cdc reads up to {FORMAT}",
            "run the version of cdc that wrote it, or set a position: cdc token reset --to-datetime ...",
            code="token.newer_format",
        )
    raise PositionLost(f"the resume token in {where} has no valid format number", code="token.corrupt")


def _body(record: TokenRecord) -> dict[str, Any]:
    mark = record.mark
    return {
        "token": json.loads(json_util.dumps(mark.token, json_options=json_util.CANONICAL_JSON_OPTIONS)),
        "position": mark.position.text if mark.position else None,
        "cluster_time": list(mark.cluster_time) if mark.cluster_time else None,
        "is_event": mark.is_event,
        "stream": record.stream,
        "fingerprint": record.fingerprint,
        "replica_set": record.replica_set,
        "cluster_id": record.cluster_id,
        "saved_at": record.saved_at,
        "writer": {"host": record.writer.host, "pid": record.writer.pid, "version": record.writer.version},
        "reason": record.reason,
    }


def _record(body: Any, number: int) -> TokenRecord:
    token = json_util.loads(_canonical(body["token"]), json_options=json_util.CANONICAL_JSON_OPTIONS)
    time = body["cluster_time"]
    mark = Mark(
        token=token,
        position=None if body["position"] is None else Position.parse(body["position"]),
        cluster_time=None if time is None else (int(time[0]), int(time[1])),
        is_event=bool(body["is_event"]),
    )
    writer = body["writer"]
    return TokenRecord(
        mark=mark,
        stream=str(body["stream"]),
        fingerprint=str(body["fingerprint"]),
        replica_set=str(body["replica_set"]),
        cluster_id=str(body["cluster_id"]),
        saved_at=float(body["saved_at"]),
        writer=Writer(str(writer["host"]), int(writer["pid"]), str(writer["version"])),
        reason=str(body["reason"]),
        format=number,
    )


def _canonical(value: Any) -> str:
    """Keys stay in order, as in the token: JSON is parsed in the order in which it is written."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _checksum(body: Any) -> str:
    return hashlib.sha256(_canonical(body).encode("ascii")).hexdigest()
