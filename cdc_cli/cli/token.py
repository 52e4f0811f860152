"""`cdc token`: where the watcher stands in MongoDB's history, and how to set it elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cdc_cli.cli.config import FilesOption, SetOption

app = typer.Typer(help="Show the resume token, set it, undo that.", no_args_is_help=True)

OutputOption = Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="How to print it.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the record and the history.")]
ForceOption = Annotated[
    Literal["lease"] | None,
    typer.Option("--force", help="lease: take the right to write from a watcher that is running."),
]


@app.command()
def show(
    config: FilesOption = None,
    assignments: SetOption = None,
    output: OutputOption = "text",
    full: Annotated[bool, typer.Option("--full", help="Print the whole token.")] = False,
) -> None:
    """Show the stored position, its age, who saved it, and whether MongoDB can still go on from there."""
    from cdc_cli.cli import token_run

    token_run.show(token_run.Call("token.show", config, assignments, output), full)


@app.command()
def reset(
    to_now: Annotated[bool, typer.Option("--to-now", help="Go on with what happens from now on.")] = False,
    to_oldest: Annotated[bool, typer.Option("--to-oldest", help="Send all that the oplog has.")] = False,
    to_datetime: Annotated[
        str | None,
        typer.Option("--to-datetime", help="Go on at an ISO-8601 time (UTC without a zone).", metavar="T"),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget the token: start at watcher.start_from. The default.")
    ] = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    force: ForceOption = None,
    config: FilesOption = None,
    assignments: SetOption = None,
    output: OutputOption = "text",
) -> None:
    """Set the position anew. Tells what that means and asks; without a terminal it needs --yes.

    The former token goes to the history, and the command that brings it back is printed.
    """
    from cdc_cli.cli import token_run

    if sum((to_now, to_oldest, to_datetime is not None, clear)) > 1:
        raise typer.BadParameter("give one of --to-now, --to-oldest, --to-datetime and --clear")
    target = "now" if to_now else "oldest" if to_oldest else to_datetime
    call = token_run.Call("token.reset", config, assignments, output)
    token_run.reset(call, target, token_run.Consent(yes, reason, force is not None))


@app.command()
def history(
    config: FilesOption = None, assignments: SetOption = None, output: OutputOption = "text"
) -> None:
    """List earlier tokens, newest first; 0 is the copy that a file store keeps of the last but one save."""
    from cdc_cli.cli import token_run

    token_run.history(token_run.Call("token.history", config, assignments, output))


@app.command()
def restore(
    number: Annotated[int, typer.Argument(min=0, help="As in `cdc token history`.")],
    yes: YesOption = False,
    reason: ReasonOption = "",
    force: ForceOption = None,
    config: FilesOption = None,
    assignments: SetOption = None,
    output: OutputOption = "text",
) -> None:
    """Put an earlier token back: the undo of a reset."""
    from cdc_cli.cli import token_run

    call = token_run.Call("token.restore", config, assignments, output)
    token_run.restore(call, number, token_run.Consent(yes, reason, force is not None))
