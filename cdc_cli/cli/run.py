"""`cdc run`: both services in one process, for demonstrations and small sites."""

from __future__ import annotations

from cdc_cli.cli.options import ConfigOpt, LogFormatOpt, LogLevelOpt, SetOpt, VerboseOpt
from cdc_cli.cli.service import run_services
from cdc_cli.cli.sync import WorkersOpt, with_workers


def run(
    workers: WorkersOpt = None,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    log_level: LogLevelOpt = None,
    log_format: LogFormatOpt = None,
    verbose: VerboseOpt = False,
) -> None:
    """Run watch and sync in one process until a signal."""
    run_services("run", ["watch", "sync"], config, with_workers(set_, workers), log_level, log_format, verbose)
