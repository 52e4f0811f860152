"""`cdc demo`: the whole pipeline on embedded servers, with a check of every document at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdc_cli.cli.options import OutputOpt
from cdc_cli.cli.output import Mark, OutputFormat
from cdc_cli.errors import ExitCode

if TYPE_CHECKING:
    from cdc_cli.cli.session import Session
    from cdc_cli.demo.summary import Report

_CHANGES = 20_000
_ENOUGH = 25.0
"""Seconds of the game after which the default number of changes is given up: a slow machine shall not take minutes."""
_LONGEST_STOP = 45.0
"""Seconds from a signal to the end of the process, whatever hangs."""

_DEFAULT = f"[default: {_CHANGES}, or fewer after {_ENOUGH:.0f} s]"
EventsOpt = Annotated[int | None, typer.Option(min=1, help=f"So many changes. {_DEFAULT}")]
SecondsOpt = Annotated[float | None, typer.Option(min=1, help="Play for so long instead.")]
KeepOpt = Annotated[bool, typer.Option("--keep", help="Leave the servers running, to look around.")]
StopOpt = Annotated[
    Path | None, typer.Option("--stop", metavar="FOLDER", help="End the servers of an earlier --keep, and do no more.")
]


def demo(
    events: EventsOpt = None,
    seconds: SecondsOpt = None,
    keep: KeepOpt = False,
    stop: StopOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
) -> None:
    """Try it: a game on embedded MongoDB, Kafka and PostgreSQL, and a check that no change is lost.

    Needs no configuration and no servers, only the extra: pip install 'cdc-toolkit\\[demo]'.

    Everything lives in a temporary folder, which is removed at the end. Exits 1 when a row differs from its document.
    """
    from cdc_cli.cli.session import open_session

    if events is not None and seconds is not None:
        raise typer.BadParameter("give either --events or --seconds")
    with open_session("demo", output=output, needs_config=False) as session:
        if stop is not None:
            _stop(session, stop)
            return
        if events is None and seconds is None:
            events, seconds = _CHANGES, _ENOUGH
        report = _run(session, events, seconds, keep)
        _print(session, report, keep)
        if report.problems:
            raise typer.Exit(int(ExitCode.DIFFERS))


def _stop(session: Session, folder: Path) -> None:
    from cdc_cli.demo import kept

    names = kept.stop(folder)
    session.output.text(f"stopped {', '.join(names) or 'nothing, no server was running'}; removed {folder}")
    session.output.item({"stopped": names, "removed": str(folder)})
    session.output.result({"stopped": names, "removed": str(folder)})


def _run(session: Session, changes: int | None, seconds: float | None, keep: bool) -> Report:
    import tempfile

    from cdc_cli.demo.abort import abort, quiet_drivers
    from cdc_cli.demo.progress import view_on
    from cdc_cli.demo.run import Wishes, run_demo
    from cdc_cli.workers.deadline import gone_in_time
    from cdc_cli.workers.signals import stop_on_signals

    out, environment = session.output, session.request.environment
    folder = Path(tempfile.mkdtemp(prefix="cdc-demo-"))
    with (
        quiet_drivers(),
        gone_in_time(session.stop, lambda: _LONGEST_STOP, leave=lambda code: abort(folder, code)),
        stop_on_signals(session.stop, leave=lambda code: abort(folder, code)) as heard,
        view_on(sys.stderr, environment, out.is_interactive, out.note, session.clock) as view,
    ):
        try:
            return run_demo(folder, Wishes(changes, seconds, keep), view, session.clock, session.stop)
        except KeyboardInterrupt:
            raise heard.interruption from None


def _print(session: Session, report: Report, keep: bool) -> None:
    from cdc_cli.demo.hints import afterwards

    out, problems = session.output, report.problems
    out.text()
    if problems:
        out.text(f"{out.mark(Mark.FAIL)} {'; '.join(problems)}")
        for example in report.comparison.examples:
            out.text(f"    {example}")
    else:
        out.text(f"{out.mark(Mark.OK)} every document equals its row, no change was lost")
    out.text()
    for line in report.lines():
        out.text(line)
    out.text()
    for line in afterwards(report, keep):
        out.text(line)
    kept = {"folder": str(report.folder), "config": str(report.folder / "cdc.yaml")} if keep else None
    result = {**report.result(), "kept": kept}
    out.item(result)
    out.result(result, summary=report.summary(), ok=not problems)
