"""How dead letters are shown: plain lines for people, plain objects for machines. Values only when asked for."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cdc_cli.cli.token_text import iso
from cdc_cli.consume.backlog import Backlog, Settled
from cdc_cli.consume.letters import Letter

HEADER = ("error", "from", "letters", "waiting", "oldest", "newest")


def count_json(
    code: str, source: str, letters: int, waiting: int, times: Sequence[float]
) -> dict[str, Any]:
    return {
        "code": code,
        "from": source,
        "letters": letters,
        "waiting": waiting,
        "oldest": iso(times[0]),
        "newest": iso(times[-1]),
    }


def count_row(kind: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        printable(kind["code"]) or "-",
        printable(kind["from"]) or "-",
        *(kind[name] for name in ("letters", "waiting", "oldest", "newest")),
    )


def letter_json(letter: Letter, backlog: Backlog, with_value: bool) -> dict[str, Any]:
    """Header values are text; keys and values that are not UTF-8 stand under `*_base64`."""
    record, origin, fate = letter.record, letter.origin, backlog.fate(letter)
    return {
        "partition": letter.partition.number,
        "offset": record.offset,
        "waiting": fate is None,
        "settled": None if fate is None else {"how": fate.how, "reason": fate.reason, "at": _time(fate.at)},
        "code": letter.code,
        "stage": letter.stage,
        "message": letter.message,
        "origin": {**origin._asdict(), "time": _time(origin.timestamp_ms / 1000)} if origin else None,
        "replay_count": letter.replay_count,
        "first_failed_at": _time(letter.first_failed_at),
        "last_failed_at": _time(letter.last_failed_at),
        "value_bytes": None if letter.value is None else len(letter.value),
        "headers": letter.about,
        **_bytes("key", record.key),
        **(_bytes("value", letter.value) if with_value else {}),
    }


def letter_text(letter: Letter, backlog: Backlog, with_value: bool) -> str:
    """Some lines, the last one empty."""
    head = f"partition {letter.partition.number} offset {letter.record.offset}  {letter.code or '(no code)'}"
    rows = [f"{head}  ({_fate(backlog.fate(letter))})", *_rows(letter, with_value)]
    return "\n".join([printable(rows[0]), *(f"  {printable(row)}" for row in rows[1:]), ""])


def printable(text: str) -> str:
    """Without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rows(letter: Letter, with_value: bool) -> Iterator[str]:
    record, origin = letter.record, letter.origin
    yield f"reason   {letter.message or '-'}"
    if origin is not None:
        yield f"origin   {origin.topic} partition {origin.partition} offset {origin.offset}"
    elif letter.source:
        yield f"origin   {letter.source}"
    times = f"first {_time(letter.first_failed_at) or '-'}, last {_time(letter.last_failed_at) or '-'}"
    yield f"failed   {times}, stage {letter.stage or '-'}, replayed {letter.replay_count} times"
    yield f"key      {_shown(record.key)}"
    for name, value in sorted(letter.about.items()):
        yield f"header   {name}: {value}"
    size = "no value" if letter.value is None else f"{len(letter.value)} bytes"
    yield f"value    {_shown(letter.value)}" if with_value else f"value    {size} (--value prints it)"


def _fate(fate: Settled | None) -> str:
    if fate is None:
        return "waiting"
    return f"{fate.how} at {_time(fate.at)}{': ' if fate.reason else ''}{fate.reason}"


def _shown(data: bytes | None) -> str:
    return "none" if data is None else data.decode("utf-8", "backslashreplace")


def _bytes(name: str, data: bytes | None) -> dict[str, Any]:
    try:
        return {name: None if data is None else data.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data or b"").decode()}


def _time(seconds: float | None) -> str | None:
    return iso(seconds)
