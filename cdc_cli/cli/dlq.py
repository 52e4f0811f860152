"""`cdc dlq`: what could not be processed, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc_cli.cli.options import ConfigOpt, ExecuteOpt, LogFormatOpt, LogLevelOpt, OutputOpt, SetOpt, VerboseOpt
from cdc_cli.cli.output import OutputFormat
from cdc_cli.cli.replay import CollectionOpt, KeyOpt, PartialOpt

app = typer.Typer(help="List and show dead letters, apply them again, discard them.", no_args_is_help=True)

CodeOpt = Annotated[
    list[str] | None,
    typer.Option("--code", metavar="CODE", help="Only this error, as `cdc dlq list` has it. Repeatable."),
]
PlaceOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--topic-partition",
        metavar="T:P:A-B",
        help="Only offsets A to B of partition P of the dead-letter topic, without B. Repeatable.",
    ),
]


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Also kinds of which no letter waits.")] = False,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    verbose: VerboseOpt = False,
) -> None:
    """Count the dead letters by error and by where they come from; `waiting`: neither replayed nor discarded."""
    from cdc_cli.cli import dlq_run
    from cdc_cli.cli.session import open_session

    with open_session("dlq.list", config=config, overrides=set_, output=output, verbose=verbose) as session:
        dlq_run.list_letters(session, all_)


@app.command()
def show(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many, the newest.")] = 10,
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="With --offset: this one.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", min=0, help="With --partition: this one.")] = None,
    value: Annotated[bool, typer.Option("--value", help="Also the value: it holds the document.")] = False,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    verbose: VerboseOpt = False,
) -> None:
    """Show single dead letters: the reason, the origin, and all headers."""
    from cdc_cli.cli import dlq_run
    from cdc_cli.cli.session import open_session

    if (partition is None) != (offset is None):
        raise typer.BadParameter("--partition and --offset go together")
    place = None if partition is None or offset is None else (partition, offset)
    with open_session("dlq.show", config=config, overrides=set_, output=output, verbose=verbose) as session:
        dlq_run.show_letters(session, limit, place, value)


@app.command()
def replay(
    code: CodeOpt = None,
    collection: CollectionOpt = None,
    key: KeyOpt = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="What failed last in the last 30m, 2h, 7d.")
    ] = None,
    allow_partial: PartialOpt = False,
    execute: ExecuteOpt = False,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    log_level: LogLevelOpt = None,
    log_format: LogFormatOpt = None,
    verbose: VerboseOpt = False,
) -> None:
    """Apply the dead letters that wait once more, all or some: `cdc replay --dead-letters` with more choice.

    Shows the plan; --execute carries it out. What fails again becomes a new dead letter.
    """
    from cdc_cli.cli.replay_request import Asked
    from cdc_cli.cli.replay_run import run
    from cdc_cli.cli.session import open_session

    asked = Asked(
        dead_letters=True, collections=collection or (), keys=key or (), codes=code or (), failed_within=since
    )
    asked.check()
    with open_session(
        "dlq.replay",
        config=config,
        overrides=set_,
        output=output,
        log_level=log_level,
        log_format=log_format,
        verbose=verbose,
    ) as session:
        run(session, asked, execute, allow_partial)


@app.command()
def discard(
    all_: Annotated[bool, typer.Option("--all", help="Every letter that waits.")] = False,
    code: CodeOpt = None,
    topic_partition: PlaceOpt = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; `cdc dlq show` tells it.")] = "",
    execute: Annotated[
        bool,
        typer.Option("--execute", "--yes", "-y", help="Do it; without this only the plan is printed."),
    ] = False,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    verbose: VerboseOpt = False,
) -> None:
    """Give up dead letters: they wait no longer, and no replay of dead letters applies them.

    Shows the plan; --execute carries it out. Kafka keeps them until their retention ends.
    """
    from cdc_cli.cli import dlq_discard
    from cdc_cli.cli.session import open_session

    chosen = dlq_discard.Chosen(all_, code or (), topic_partition or ())
    chosen.check()
    with open_session("dlq.discard", config=config, overrides=set_, output=output, verbose=verbose) as session:
        dlq_discard.discard(session, chosen, reason, execute)
