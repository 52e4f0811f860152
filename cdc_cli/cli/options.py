"""The options that commands share, each defined once: same name, same letter, same help everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cdc_cli.cli.output import OutputFormat


class LogLevel(StrEnum):
    """`--log-level`."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class LogFormat(StrEnum):
    """`--log-format`."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


ConfigOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "-c",
        metavar="PATH",
        help="Configuration file; repeatable, later ones win. [default: ./cdc.yaml]",
    ),
]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key: --set syncer.workers=16. Repeatable."),
]
ShardOpt = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="One of N watchers that share the documents (watcher.shard)."),
]
OutputOpt = Annotated[
    OutputFormat,
    typer.Option("--output", "-o", envvar="CDC_OUTPUT", help="What stdout gets."),
]
LogLevelOpt = Annotated[
    LogLevel | None,
    typer.Option("--log-level", envvar="CDC_LOG_LEVEL", help="Least level that is logged to stderr."),
]
LogFormatOpt = Annotated[
    LogFormat | None,
    typer.Option("--log-format", envvar="CDC_LOG_FORMAT", help="auto = console on a terminal, else json."),
]
VerboseOpt = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log at debug level, with the stack traces of errors.")
]
YesOpt = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
ExecuteOpt = Annotated[bool, typer.Option("--execute", help="Do it; without this only the plan is printed.")]
TimeoutOpt = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="Give up after this long.")]
