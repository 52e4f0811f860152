"""The program `cdc`: its commands in panels. `cdc --help` loads no driver and no settings: it is quick."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Annotated, Any, NamedTuple

import typer
import typer.core

import cdc_cli
from cdc_cli.errors import ExitCode


class Command(NamedTuple):
    """A module of this package: it holds either a function of its own name or a group called `app`."""

    name: str
    panel: str


COMMANDS = (
    Command("watch", "Run"),
    Command("sync", "Run"),
    Command("run", "Run"),
    Command("token", "Observe"),
    Command("replay", "Recover"),
    Command("dlq", "Recover"),
    Command("config", "Build"),
    Command("demo", "Tools"),
    Command("bench", "Tools"),
)


class _InOrder(typer.core.TyperGroup):
    """Lists the commands, and with them their panels, in the order of `COMMANDS`; Typer puts groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [command.name for command in COMMANDS]


def make_app() -> typer.Typer:
    """All commands, registered. Their modules import drivers and settings only when they run."""
    app = typer.Typer(
        name="cdc",
        cls=_InOrder,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes, configuration and operating: see README.md.",
    )
    app.callback()(_root)
    for command in COMMANDS:
        _register(app, command)
    return app


def main() -> None:
    """The entry point of `cdc` and of `python -m cdc_cli`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        make_app()(prog_name="cdc")
    except Exception as error:
        _crash(error)


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"cdc {cdc_cli.__version__}")
        raise typer.Exit


VersionOpt = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
]


def _root(version: VersionOpt = False) -> None:
    """Stream changes from MongoDB through Kafka into PostgreSQL, and lose none."""


def _register(app: typer.Typer, command: Command) -> None:
    module = importlib.import_module(f"cdc_cli.cli.{command.name}")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=command.name, rich_help_panel=command.panel)
    else:
        app.command(command.name, rich_help_panel=command.panel)(getattr(module, command.name))


def _crash(error: Exception) -> None:
    """A bug outside of any session: no logging is there yet, but a secret must not come out either (I10)."""
    from cdc_cli.settings.secrets import mask_uri

    sys.stderr.write(mask_uri("".join(traceback.format_exception(error))))
    sys.exit(ExitCode.BUG)
