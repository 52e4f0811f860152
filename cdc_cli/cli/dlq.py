"""`cdc dlq`: what could not be processed, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc_cli.cli.options import ConfigOpt, OutputOpt, SetOpt, VerboseOpt
from cdc_cli.cli.output import OutputFormat

app = typer.Typer(
    help="List and show dead letters; `cdc replay --dead-letters` applies them again.", no_args_is_help=True
)


@app.command("list")
def list_(
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    verbose: VerboseOpt = False,
) -> None:
    """Count the dead letters by error and by where they come from; `waiting` are those not replayed yet."""
    from cdc_cli.cli import dlq_run
    from cdc_cli.cli.session import open_session

    with open_session("dlq.list", config=config, overrides=set_, output=output, verbose=verbose) as session:
        dlq_run.list_letters(session)


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
