"""`cdc sync`: Kafka to PostgreSQL."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc_cli.cli.options import ConfigOpt, LogFormatOpt, LogLevelOpt, SetOpt, VerboseOpt
from cdc_cli.cli.service import run_services

WorkersOpt = Annotated[
    int | None,
    typer.Option("--workers", "-w", min=1, max=256, help="Lanes that write in parallel (syncer.workers)."),
]


def with_workers(overrides: list[str] | None, workers: int | None) -> list[str]:
    """`--workers N` is `--set syncer.workers=N` said shorter."""
    return [*(overrides or []), *([f"syncer.workers={workers}"] if workers is not None else [])]


def sync(
    workers: WorkersOpt = None,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    log_level: LogLevelOpt = None,
    log_format: LogFormatOpt = None,
    verbose: VerboseOpt = False,
) -> None:
    """Write changes from Kafka to PostgreSQL until a signal.

    Several processes share the partitions of the topics. The first SIGINT or SIGTERM flushes what was consumed;
    a second one leaves at once.
    """
    run_services("sync", ["sync"], config, with_workers(set_, workers), log_level, log_format, verbose)
