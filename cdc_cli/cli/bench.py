"""`cdc bench`: the same workload through the user's own servers, under names of its own."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cdc_cli.cli.options import ConfigOpt, LogLevel, LogLevelOpt, OutputOpt, SetOpt, VerboseOpt, YesOpt
from cdc_cli.cli.output import OutputFormat


class Size(StrEnum):
    """`--size`."""

    SMALL = "small"
    GAME = "game"
    LARGE = "large"


class Only(StrEnum):
    """`--only`."""

    WATCH = "watch"
    SYNC = "sync"
    LATENCY = "latency"


EventsOpt = Annotated[int, typer.Option(min=1, help="Documents that are inserted, and updated once.")]
SizeOpt = Annotated[Size, typer.Option(help="Of a document: about 200 B, 400 to 900 B, 20 KB.")]
RateOpt = Annotated[float, typer.Option(min=1, help="Documents a second, for the latency.")]
SecondsOpt = Annotated[float, typer.Option(min=1, help="How long the latency is measured.")]
OnlyOpt = Annotated[Only | None, typer.Option(help="Measure only this, not all three.")]
CleanOpt = Annotated[bool, typer.Option("--clean", help="Remove what killed runs have left, and do no more.")]


def bench(
    events: EventsOpt = 20_000,
    size: SizeOpt = Size.GAME,
    rate: RateOpt = 200.0,
    seconds: SecondsOpt = 10.0,
    only: OnlyOpt = None,
    clean: CleanOpt = False,
    yes: YesOpt = False,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    log_level: LogLevelOpt = None,
    verbose: VerboseOpt = False,
) -> None:
    """Measure your servers with this pipeline: events per second, latency, and what limits them.

    Writes to the servers of the configuration, so it asks first; without a terminal it needs --yes. Everything it
    makes begins with cdc_bench_ and is removed at the end, also after an error or a signal.
    """
    from cdc_cli.cli import bench_run
    from cdc_cli.cli.session import open_session

    level = log_level or LogLevel.ERROR
    with open_session(
        "bench", config=config, overrides=set_, output=output, log_level=level, verbose=verbose
    ) as session:
        if clean:
            bench_run.clean(session, yes)
        else:
            bench_run.measure(session, bench_run.wishes(events, size.value, rate, seconds, only), yes)
