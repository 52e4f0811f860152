"""The work of `cdc token`: opens the store and MongoDB, asks for consent, prints the result."""

from __future__ import annotations

import datetime
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import typer

from cdc_cli import __version__
from cdc_cli.capture.source import MongoSource
from cdc_cli.checkpoint import TokenStore, Writer
from cdc_cli.checkpoint.change import Plan, Planner, carry_out
from cdc_cli.checkpoint.status import inspect
from cdc_cli.checkpoint.stores import make_store
from cdc_cli.cli import token_text as text
from cdc_cli.cli.session import Session
from cdc_cli.settings.shard import Shard


class Consent(NamedTuple):
    """`--yes`, `--reason` and `--force lease`."""

    yes: bool
    reason: str
    force: bool


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command works with."""

    session: Session
    store: TokenStore
    source: MongoSource

    @property
    def start_from(self) -> str:
        """Where a watcher without a token starts."""
        return self.session.settings.watcher.start_from

    def planner(self) -> Planner:
        """Plans of this process, now."""
        me = Writer(socket.gethostname(), os.getpid(), __version__)
        return Planner(self.store, self.source, self.session.settings, me, self.session.clock.time())


def show(session: Session, full: bool) -> None:
    """Exit code 0 also without a token; raises PositionLost (80) for a damaged one."""
    with _desk(session) as desk:
        status = inspect(desk.store, desk.source, session.settings.mongodb, session.settings.shard)
    now, verdict = session.clock.time(), status.probe.verdict.value
    session.output.text(session.clean(text.status_text(status, now, full, desk.start_from)))
    session.output.result(
        text.status_json(status, now),
        summary={"stored": status.record is not None, "resumable": verdict},
        ok=verdict != "no" and not ({"deployment", "stream"} & set(status.mismatches)),
    )


def show_all(session: Session, shards: Sequence[Shard]) -> None:
    """A line about each shard, and the earliest position. The answer is no when one of them has no token.

    Asks the store only. Raises what `show` raises.
    """
    rows: list[text.ShardRow] = []
    for shard in shards:
        store = make_store(session.settings.for_shard(shard), session.clock, session.stop.wait)
        try:
            rows.append(text.ShardRow(shard, store.load(), store.holder()))
        finally:
            store.release()
    now = session.clock.time()
    session.output.text(text.shards_text(rows, now))
    found = text.shards_json(rows, now)
    summary = {"stored": sum(row.record is not None for row in rows), "earliest": found["earliest"]}
    session.output.result(found, summary=summary, ok=all(row.record is not None for row in rows))


def history(session: Session) -> None:
    """An empty history is fine too."""
    with _desk(session) as desk:
        entries = desk.store.history()
    session.output.text(text.history_text(entries))
    result = {"entries": [{"number": entry.number, **text.record_json(entry.record)} for entry in entries]}
    session.output.result(result, summary={"entries": len(entries)})


def reset(session: Session, target: str | None, consent: Consent) -> None:
    """`target` is now, oldest, an ISO-8601 time, or None to clear."""
    moment = None if target in (None, "now", "oldest") else _moment(str(target))
    with _desk(session) as desk:
        planner = desk.planner()
        if moment is not None:
            plan = planner.to_time(moment, consent.reason)
        elif target == "now":
            plan = planner.to_now(consent.reason)
        elif target == "oldest":
            plan = planner.to_oldest(consent.reason)
        else:
            plan = planner.clear()
        _propose(desk, plan, consent)


def restore(session: Session, number: int, consent: Consent) -> None:
    """Puts an entry of the history back."""
    with _desk(session) as desk:
        _propose(desk, desk.planner().restore(number, consent.reason), consent)


def _propose(desk: Desk, plan: Plan, consent: Consent) -> None:
    """Show the plan; carry it out with `--yes`, or when a person at the terminal says so."""
    session, output, start_from = desk.session, desk.session.output, desk.start_from
    output.text(session.clean(text.plan_text(plan, session.clock.time(), start_from)))
    if not (consent.yes or _agrees(session)):
        output.result(text.plan_json(plan, False, 0, start_from), summary={"executed": False})
        output.note("nothing was changed: this is the plan, --yes carries it out")
        return
    undo = carry_out(plan, desk.store, consent.reason, consent.force)
    output.text(f"done; to undo it: cdc token restore {undo}" if undo else "done; no former token was kept")
    output.result(text.plan_json(plan, True, undo, start_from), summary={"executed": True})


def _agrees(session: Session) -> bool:
    """Asks only where a person can answer."""
    if not (session.output.is_interactive and sys.stdin.isatty()):
        return False
    return typer.confirm("Do it?", default=False, err=True)


def _moment(value: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError) as exc:
        raise typer.BadParameter(f"{value!r} is no ISO-8601 time", param_hint="--to-datetime") from exc


@contextmanager
def _desk(session: Session) -> Iterator[Desk]:
    """Opens what is needed, lazily, and closes it."""
    settings = session.settings
    store = make_store(settings, session.clock, session.stop.wait)
    source = MongoSource(settings.mongodb)
    try:
        yield Desk(session, store, source)
    finally:
        store.release()
        source.close()
