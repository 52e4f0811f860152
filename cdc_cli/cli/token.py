"""`cdc token`: where the watcher stands in MongoDB's history, and how to set it elsewhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cdc_cli.cli.options import ConfigOpt, OutputOpt, SetOpt, ShardOpt, VerboseOpt, YesOpt
from cdc_cli.cli.output import OutputFormat
from cdc_cli.cli.shards import shards_of, with_shard

app = typer.Typer(help="Show the resume token, set it, undo that.", no_args_is_help=True)


class Force(StrEnum):
    """The safety check to override, by name."""

    LEASE = "lease"


ReasonOpt = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the record and the history.")
]
ForceOpt = Annotated[
    Force | None,
    typer.Option("--force", help="lease: take the right to write from a watcher that is running."),
]
DatetimeOpt = Annotated[
    str | None,
    typer.Option("--to-datetime", metavar="T", help="Go on at an ISO-8601 time (UTC without a zone)."),
]
ShardsOpt = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Of one of N shards (watcher.shard); */N for a line about each."),
]
ClearOpt = Annotated[
    bool, typer.Option("--clear", help="Forget the token: start at watcher.start_from. The default.")
]


@app.command()
def show(
    shard: ShardsOpt = None,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    full: Annotated[bool, typer.Option("--full", help="Print the whole token.")] = False,
    verbose: VerboseOpt = False,
) -> None:
    """Show the stored position, its age, who saved it, and whether MongoDB can still go on from there."""
    from cdc_cli.cli import token_run
    from cdc_cli.cli.session import open_session

    shards, single = shards_of(shard)
    overrides, command = with_shard(set_, single), "token.show"
    with open_session(command, config=config, overrides=overrides, output=output, verbose=verbose) as session:
        if shards:
            token_run.show_all(session, shards)
        else:
            token_run.show(session, full)


@app.command()
def reset(
    to_now: Annotated[bool, typer.Option("--to-now", help="Go on with what happens from now on.")] = False,
    to_oldest: Annotated[bool, typer.Option("--to-oldest", help="Send all that the oplog has.")] = False,
    to_datetime: DatetimeOpt = None,
    clear: ClearOpt = False,
    yes: YesOpt = False,
    reason: ReasonOpt = "",
    force: ForceOpt = None,
    shard: ShardOpt = None,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    verbose: VerboseOpt = False,
) -> None:
    """Set the position anew. Tells what that means and asks; without a terminal it needs --yes.

    The former token goes to the history, and the command that brings it back is printed.
    """
    from cdc_cli.cli import token_run
    from cdc_cli.cli.session import open_session

    if sum((to_now, to_oldest, to_datetime is not None, clear)) > 1:
        raise typer.BadParameter("give one of --to-now, --to-oldest, --to-datetime and --clear")
    target = "now" if to_now else "oldest" if to_oldest else to_datetime
    consent = token_run.Consent(yes, reason, force is Force.LEASE)
    overrides, command = with_shard(set_, shard), "token.reset"
    with open_session(command, config=config, overrides=overrides, output=output, verbose=verbose) as session:
        token_run.reset(session, target, consent)


@app.command()
def history(
    shard: ShardOpt = None,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    verbose: VerboseOpt = False,
) -> None:
    """List earlier tokens, newest first; 0 is the copy that a file store keeps of the last but one save."""
    from cdc_cli.cli import token_run
    from cdc_cli.cli.session import open_session

    overrides, command = with_shard(set_, shard), "token.history"
    with open_session(command, config=config, overrides=overrides, output=output, verbose=verbose) as session:
        token_run.history(session)


@app.command()
def restore(
    number: Annotated[int, typer.Argument(min=0, help="As in `cdc token history`.")],
    yes: YesOpt = False,
    reason: ReasonOpt = "",
    force: ForceOpt = None,
    shard: ShardOpt = None,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    verbose: VerboseOpt = False,
) -> None:
    """Put an earlier token back: the undo of a reset."""
    from cdc_cli.cli import token_run
    from cdc_cli.cli.session import open_session

    consent = token_run.Consent(yes, reason, force is Force.LEASE)
    overrides, command = with_shard(set_, shard), "token.restore"
    with open_session(command, config=config, overrides=overrides, output=output, verbose=verbose) as session:
        token_run.restore(session, number, consent)
