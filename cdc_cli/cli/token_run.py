"""The work of `cdc token`: opens the store and MongoDB, asks for consent, prints the result."""

from __future__ import annotations

import datetime
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import typer

from cdc_cli import __version__
from cdc_cli.capture.source import MongoSource
from cdc_cli.checkpoint import TokenStore, Writer
from cdc_cli.checkpoint.change import Plan, Planner, carry_out
from cdc_cli.checkpoint.status import inspect
from cdc_cli.checkpoint.stores import make_store
from cdc_cli.cli import token_text as text
from cdc_cli.cli.config_check import envelope, failure
from cdc_cli.clock import Clock, SystemClock
from cdc_cli.errors import CdcError
from cdc_cli.settings.findings import InvalidConfig
from cdc_cli.settings.load import load
from cdc_cli.settings.models import Settings
from cdc_cli.settings.secrets import Redactor


class Consent(NamedTuple):
    """`--yes`, `--reason` and `--force lease`."""

    yes: bool
    reason: str
    force: bool


@dataclass(frozen=True)
class Call:
    """How the command was called: its name in the output, the configuration, and `text` or `json`."""

    command: str
    config: list[Path] | None
    assignments: list[str] | None
    output: str


@dataclass(frozen=True)
class Desk:
    """What a command works with."""

    settings: Settings
    store: TokenStore
    source: MongoSource
    clock: Clock

    @property
    def start_from(self) -> str:
        return self.settings.watcher.start_from

    def planner(self) -> Planner:
        me = Writer(socket.gethostname(), os.getpid(), __version__)
        return Planner(self.store, self.source, self.settings.mongodb, me, self.clock.time())


def show(call: Call, full: bool) -> None:
    """Exit code 0 also without a token; 80 for a damaged one."""
    with _desk(call) as desk:
        status = inspect(desk.store, desk.source, desk.settings.mongodb)
        now = desk.clock.time()
        verdict = status.probe.verdict.value
        summary = {"stored": status.record is not None, "resumable": verdict}
        is_fine = verdict != "no" and not ({"deployment", "stream"} & set(status.mismatches))
        plain = text.status_text(status, now, full, desk.start_from)
        _print(call, plain, is_fine, summary, text.status_json(status, now))


def history(call: Call) -> None:
    """An empty history is fine too."""
    with _desk(call) as desk:
        entries = desk.store.history()
        result = {"entries": [{"number": e.number, **text.record_json(e.record)} for e in entries]}
        _print(call, text.history_text(entries), True, {"entries": len(entries)}, result)


def reset(call: Call, target: str | None, consent: Consent) -> None:
    """`target` is now, oldest, an ISO-8601 time, or None to clear."""
    moment = None if target in (None, "now", "oldest") else _moment(str(target))
    with _desk(call) as desk:
        planner = desk.planner()
        if moment is not None:
            plan = planner.to_time(moment, consent.reason)
        elif target == "now":
            plan = planner.to_now(consent.reason)
        elif target == "oldest":
            plan = planner.to_oldest(consent.reason)
        else:
            plan = planner.clear()
        _propose(call, desk, plan, consent)


def restore(call: Call, number: int, consent: Consent) -> None:
    """Puts an entry of the history back."""
    with _desk(call) as desk:
        _propose(call, desk, desk.planner().restore(number, consent.reason), consent)


def _propose(call: Call, desk: Desk, plan: Plan, consent: Consent) -> None:
    """Show the plan; carry it out with `--yes`, or when a person at the terminal says so."""
    plain = text.plan_text(plan, desk.clock.time(), desk.start_from)
    if call.output == "text":
        typer.echo(plain)
    if not (consent.yes or _agrees(call)):
        typer.echo("nothing was changed: this is the plan, --yes carries it out", err=True)
        if call.output == "json":
            result = text.plan_json(plan, False, 0, desk.start_from)
            _print(call, "", True, {"executed": False}, result)
        return
    undo = carry_out(plan, desk.store, consent.reason, consent.force)
    done = f"done; to undo it: cdc token restore {undo}" if undo else "done; there was no token to keep"
    _print(call, done, True, {"executed": True}, text.plan_json(plan, True, undo, desk.start_from))


def _agrees(call: Call) -> bool:
    """Asks only where a person can answer."""
    if call.output == "json" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm("Do it?", default=False, err=True)


def _moment(value: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError as exc:
        raise typer.BadParameter(f"{value!r} is no ISO-8601 time", param_hint="--to-datetime") from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


@contextmanager
def _desk(call: Call) -> Iterator[Desk]:
    """Loads the configuration and opens what is needed; ends the process with the code of an error."""
    clean: Callable[[str], str] = str
    try:
        settings = load(call.config or [], os.environ, call.assignments or []).settings
        clean = Redactor.of(settings).clean
        clock = SystemClock()
        store = make_store(settings, clock, threading.Event().wait)
        source = MongoSource(settings.mongodb)
        try:
            yield Desk(settings, store, source, clock)
        finally:
            store.release()
            source.close()
    except InvalidConfig as exc:
        if call.output == "json":
            typer.echo(failure(call.command, exc))
        else:
            typer.echo(f"error: {exc.message}\n{exc.hint}", err=True)
        raise typer.Exit(exc.exit_code) from exc
    except CdcError as exc:
        _fail(call, exc, clean)


def _fail(call: Call, exc: CdcError, clean: Callable[[str], str]) -> NoReturn:
    message, hint = clean(exc.message), clean(exc.hint)
    if call.output == "json":
        error = {"code": exc.code, "message": message, "suggestion": hint}
        typer.echo(envelope(call.command, False, {}, None, error))
    else:
        typer.echo(f"error: {message}" + (f"\n  -> {hint}" if hint else ""), err=True)
    raise typer.Exit(exc.exit_code) from exc


def _print(call: Call, plain: str, ok: bool, summary: dict[str, Any], result: dict[str, Any]) -> None:
    typer.echo(envelope(call.command, ok, summary, result) if call.output == "json" else plain)
