"""The work of `cdc bench`: consent, signals, progress, and what is printed at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cdc_cli.bench.clean import Cleaned, remove
from cdc_cli.bench.documents import DocumentSize
from cdc_cli.bench.names import Run
from cdc_cli.bench.report import leftover_json, leftover_lines, things_lines
from cdc_cli.bench.run import Part, Wishes, openers, plan_lines, run_bench
from cdc_cli.bench.things import Site, Thing, command
from cdc_cli.cli.session import Session
from cdc_cli.errors import ExitCode
from cdc_cli.wiring_bench import postgres_site
from cdc_cli.workers.deadline import gone_in_time
from cdc_cli.workers.signals import Heard, stop_on_signals

_LONGEST_STOP = 100.0
"""Seconds from a signal to the end of the process, whatever hangs: the services drain, then everything is removed."""
_CLEAN_HINT = "the bench was cut short: `cdc bench --clean` removes what it has made\n"


def wishes(events: int, size: str, rate: float, seconds: float, only: str | None) -> Wishes:
    """From the command line."""
    parts = frozenset(Part) if only is None else frozenset({Part(only)})
    return Wishes(events, DocumentSize(size), rate, seconds, parts)


def measure(session: Session, asked: Wishes, yes: bool) -> None:
    """Exit code 0; 1 when something did not arrive or was left behind; 130 or 143 after a signal."""
    out, settings = session.output, session.settings
    for line in plan_lines(settings, asked):
        out.note(line)
    if not (yes or _agrees(session)):
        out.note("nothing was done: this is the plan, --yes carries it out")
        out.result(None, summary={"executed": False})
        return
    with _signals(session) as heard:
        try:
            report = run_bench(settings, asked, lambda line: out.note(session.clean(line)), session.clock, session.stop)
        except KeyboardInterrupt:
            raise heard.interruption from None
    out.text()
    for line in report.lines():
        out.text(line)
    out.item(report.result())
    out.result(report.result(), summary={"executed": True, **report.summary()}, ok=report.is_ok)
    if not report.is_ok:
        raise typer.Exit(int(ExitCode.DIFFERS))


def clean(session: Session, yes: bool) -> None:
    """Remove what runs have left that no process works on any more."""
    out, settings = session.output, session.settings
    with _sites(session) as sites, _signals(session):
        alive = postgres_site(settings)
        try:
            things = [(site, thing) for site in sites for thing in site.find(None)]
            running = {run for run in {thing.run for _, thing in things} if alive.is_alive(run)}
        finally:
            alive.close()
        for run in sorted(running):
            out.note(f"{run} is running: it is left alone")
        dead = [(site, thing) for site, thing in things if thing.run not in running]
        _tell_plan(session, [thing for _, thing in dead])
        if dead and not (yes or _agrees(session)):
            out.note("nothing was done: this is the plan, --yes carries it out")
            out.result(_as_json(dead, Cleaned(), running), summary={"executed": False})
            return
        cleaned = Cleaned()
        for site, thing in dead:
            remove(site, [thing], cleaned, lambda thing: command(thing, settings))
    for line in leftover_lines(cleaned.left):
        out.note(session.clean(line))
    out.text(f"removed {len(cleaned.removed)} of {len(dead)}")
    out.result(_as_json(dead, cleaned, running), summary={"executed": True, "removed": len(cleaned.removed)},
               ok=not cleaned.left)  # fmt: skip
    if cleaned.left:
        raise typer.Exit(int(ExitCode.DIFFERS))


def _tell_plan(session: Session, things: list[Thing]) -> None:
    for run in sorted({thing.run for thing in things}):
        session.output.note(f"{run}, begun {run.began}:")
        for line in things_lines([thing for thing in things if thing.run == run]):
            session.output.note(line)
    if not things:
        session.output.note("no run has left anything")


def _as_json(dead: list[tuple[Site, Thing]], cleaned: Cleaned, running: set[Run]) -> dict[str, object]:
    return {
        "found": [{"kind": thing.kind.value, "name": thing.name, "run": thing.run} for _, thing in dead],
        "removed": [{"kind": thing.kind.value, "name": thing.name, "run": thing.run} for thing in cleaned.removed],
        "left_behind": [leftover_json(left) for left in cleaned.left],
        "running": sorted(running),
    }


def _agrees(session: Session) -> bool:
    """Asks only where a person can answer."""
    if not (session.output.is_interactive and sys.stdin.isatty()):
        return False
    return typer.confirm("Do it?", default=False, err=True)


@contextmanager
def _sites(session: Session) -> Iterator[list[Site]]:
    sites: list[Site] = []
    try:
        for _, opener in openers(session.settings, session.clock):
            sites.append(opener())
        yield sites
    finally:
        for site in sites:
            site.close()


@contextmanager
def _signals(session: Session) -> Iterator[Heard]:
    """The first signal ends the bench, which then cleans up; the second one leaves at once and says what to do."""

    def leave(code: int) -> None:
        os.write(2, _CLEAN_HINT.encode())
        os._exit(code)

    with (
        gone_in_time(session.stop, lambda: _LONGEST_STOP, leave=leave),
        stop_on_signals(session.stop, leave=leave) as heard,
    ):
        yield heard
