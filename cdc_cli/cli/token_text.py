"""How tokens, plans and the history are shown: plain aligned lines for people, plain objects for machines."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bson import json_util

from cdc_cli.checkpoint import HistoryEntry, TokenRecord, Writer
from cdc_cli.checkpoint.change import Plan
from cdc_cli.checkpoint.holder import name
from cdc_cli.checkpoint.record import shown_time
from cdc_cli.checkpoint.status import Status
from cdc_cli.events import Mark
from cdc_cli.settings.shard import Shard

_YEAR = 365 * 86_400


def iso(seconds: float | None) -> str | None:
    """`2026-11-23T12:01:06Z`; None and times that no calendar has stay as they are."""
    try:
        moment = None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return str(seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def span(seconds: float) -> str:
    """`1.1 s`, `3 h 12 m`, `2 d 4 h`."""
    seconds = abs(seconds)
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds > _YEAR:
        return "more than a year"
    for unit, size, rest, rest_size in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= (2 * size if unit == "d" else size):
            return f"{int(seconds // size)} {unit} {int(seconds % size // rest_size)} {rest}"
    return f"{seconds:.0f} s"


def shortened(token: Mapping[str, Any]) -> str:
    """Beginning and end of the token's data, enough to compare two of them."""
    data = token.get("_data", "")
    return f"{data[:18]}…{data[-4:]}" if isinstance(data, str) and len(data) > 24 else str(data)


def record_json(record: TokenRecord) -> dict[str, Any]:
    """Everything in a record; `token` is canonical Extended JSON."""
    mark, place = record.mark, shown_time(record.mark)
    return {
        "token": json.loads(json_util.dumps(mark.token, json_options=json_util.CANONICAL_JSON_OPTIONS)),
        "kind": _kind(mark),
        "position": mark.position.text if mark.position else None,
        "cluster_time": list(place) if place else None,
        "time": iso(place[0]) if place else None,
        "stream": record.stream,
        "fingerprint": record.fingerprint,
        "replica_set": record.replica_set,
        "cluster_id": record.cluster_id,
        "saved_at": iso(record.saved_at),
        "saved_by": writer_json(record.writer),
        "reason": record.reason,
    }


def writer_json(writer: Writer | None) -> dict[str, Any] | None:
    return {"host": writer.host, "pid": writer.pid, "version": writer.version} if writer else None


def status_json(status: Status, now: float) -> dict[str, Any]:
    """`cdc token show -o json`."""
    oplog, record = status.oplog, status.record
    return {
        "store": status.store,
        "stored": record is not None,
        "record": record_json(record) if record else None,
        "age_seconds": round(now - status.place[0], 3) if status.place else None,
        "saved_seconds_ago": round(now - record.saved_at, 3) if record else None,
        "holder": writer_json(status.holder),
        "oplog": {
            "first": iso(oplog.first[0]),
            "last": iso(oplog.last[0]),
            "window_seconds": oplog.window,
            "bytes": oplog.size,
            "max_bytes": oplog.max_size,
        }
        if oplog
        else None,
        "runway_seconds": _rounded(status.runway),
        "runway_seconds_at_current_rate": _rounded(status.runway_now),
        "resumable": status.probe.verdict.value,
        "resumable_reason": status.probe.reason,
        "matches": {kind: kind not in status.mismatches for kind in ("deployment", "stream", "fingerprint")},
        "mismatches": list(status.mismatches.values()),
        "warnings": status.warnings,
    }


def status_text(status: Status, now: float, full: bool, start_from: str) -> str:
    """`cdc token show`."""
    rows = [("store", status.store)]
    record = status.record
    if record is None:
        rows.append(("token", f"none: the next cdc watch starts at watcher.start_from ({start_from})"))
    else:
        rows += _record_rows(record, status.place, now, full)
    rows.append(("writer", f"{name(status.holder)} holds it now" if status.holder else "nobody right now"))
    if (oplog := status.oplog) is not None:
        first, last = iso(oplog.first[0]), iso(oplog.last[0])
        rows.append(("oplog", f"{first} to {last} ({span(oplog.window)})"))
    if status.runway is not None and status.runway_now is not None:
        average, current = span(status.runway), span(status.runway_now)
        rows.append(("runway", f"{average} at the average rate of writing, {current} at the current one"))
    if record is not None:
        probe = status.probe
        rows.append(("resumable", f"{probe.verdict}{f': {probe.reason}' if probe.reason else ''}"))
        rows += [("mismatch", text) for text in status.mismatches.values()]
    return _aligned(rows + [("warning", text) for text in status.warnings])


class ShardRow(NamedTuple):
    """A shard with its token and the watcher that holds it."""

    shard: Shard
    record: TokenRecord | None
    holder: Writer | None


def shards_json(rows: Sequence[ShardRow], now: float) -> dict[str, Any]:
    """`cdc token show --shard '*/n' -o json`."""
    earliest = _earliest(rows)
    shards = [
        {
            "shard": shard.text,
            "stored": record is not None,
            "record": record_json(record) if record else None,
            "age_seconds": round(now - place[0], 3) if record and (place := shown_time(record.mark)) else None,
            "holder": writer_json(holder),
        }
        for shard, record, holder in rows
    ]
    return {"shards": shards, "earliest": iso(earliest)}


def shards_text(rows: Sequence[ShardRow], now: float) -> str:
    """`cdc token show --shard '*/n'`."""
    table = [("SHARD", "POSITION", "AGE", "SAVED", "WRITER")]
    for shard, record, holder in rows:
        place = shown_time(record.mark) if record else None
        age = span(now - place[0]) if place else ""
        where, saved = (_where(record.mark), f"{span(now - record.saved_at)} ago") if record else ("no token", "")
        table.append((shard.text, where, age, saved, name(holder) if holder else "nobody right now"))
    earliest = _earliest(rows)
    return _table(table) + (f"\n\nearliest position: {iso(earliest)}" if earliest is not None else "")


def _earliest(rows: Sequence[ShardRow]) -> int | None:
    """Epoch seconds; None unless every token tells its time."""
    places = [shown_time(row.record.mark) if row.record else None for row in rows]
    known = [place[0] for place in places if place]
    return min(known) if len(known) == len(places) else None


def plan_json(plan: Plan, executed: bool, undo: int, start_from: str) -> dict[str, Any]:
    """`cdc token reset|restore -o json`."""
    return {
        "action": plan.action,
        "executed": executed,
        "former": record_json(plan.former) if plan.former else None,
        "target": record_json(plan.target) if plan.target else None,
        "seconds": plan.seconds,
        "entries": plan.entries,
        "effect": effect(plan, start_from),
        "holder": writer_json(plan.holder),
        "notes": plan.notes,
        "undo": f"cdc token restore {undo}" if undo else None,
    }


def plan_text(plan: Plan, now: float, start_from: str) -> str:
    """What is there, what will be there, and what that means."""
    former, target = plan.former, plan.target
    rows = [("now", _where(former.mark) if former else "no readable token")]
    if former:
        rows[0] = ("now", f"{rows[0][1]}, saved {span(now - former.saved_at)} ago by {name(former.writer)}")
    rows.append(("target", _where(target.mark) if target else "no token"))
    if plan.oplog:
        rows.append(("oplog", f"{iso(plan.oplog.first[0])} to {iso(plan.oplog.last[0])}"))
    rows.append(("effect", effect(plan, start_from)))
    rows += [("note", text) for text in plan.notes]
    if plan.holder:
        rows.append(("blocked", f"{name(plan.holder)} is writing: stop that watcher first, or --force lease"))
    return _aligned(rows)


def effect(plan: Plan, start_from: str) -> str:
    """One sentence on what will be sent again or not at all."""
    count = f" (about {plan.entries:,} changes of the whole deployment)" if plan.entries is not None else ""
    if plan.target is None:
        since = f"; changes since {_where(plan.former.mark)} may be missed" if plan.former else ""
        start = f"the next cdc watch starts at watcher.start_from ({start_from})"
        return start + (since if start_from == "now" else "")
    if plan.seconds is None:
        return "changes between the former position and this one, if there is one, are not sent or sent again"
    if plan.seconds < 0:
        return f"{span(plan.seconds)} of changes{count} are sent AGAIN; the guard of the rows makes that safe"
    if plan.seconds == 0:
        return "the same second: hardly anything is sent again or left out"
    return f"{span(plan.seconds)} of changes{count} are NOT sent"


def history_text(entries: Sequence[HistoryEntry]) -> str:
    """`cdc token history`: newest first."""
    if not entries:
        return "the history is empty"
    rows = [("N", "POSITION", "SAVED", "BY", "REASON")]
    for number, record in ((entry.number, entry.record) for entry in entries):
        saved, by = iso(record.saved_at) or "", name(record.writer)
        rows.append((str(number), _where(record.mark), saved, by, record.reason))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns, each as wide as its widest cell; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _record_rows(
    record: TokenRecord, place: tuple[int, int] | None, now: float, full: bool
) -> list[tuple[str, str]]:
    mark = record.mark
    age = f", {span(now - place[0])} old" if place else ""
    event = f" ({mark.position.text})" if mark.position else ""
    saved = f"{iso(record.saved_at)}, {span(now - record.saved_at)} ago, by {name(record.writer)}"
    token = json_util.dumps(mark.token) if full else f"{shortened(mark.token)} (--full shows all of it)"
    rows = [
        ("stream", record.stream),
        ("position", f"{_where(mark)}{event}{age}"),
        ("saved", saved),
        ("token", token if mark.token else "none: the stream starts at that time"),
    ]
    return [*rows, ("reason", record.reason)] if record.reason else rows


def _where(mark: Mark) -> str:
    place = shown_time(mark)
    return (iso(place[0]) or "") if place else "a time that is not known"


def _kind(mark: Mark) -> str:
    if not mark.token:
        return "time"
    return "event" if mark.is_event else "post-batch"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _aligned(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label.ljust(width)}  {text}" for label, text in rows)
