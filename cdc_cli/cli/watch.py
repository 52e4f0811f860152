"""`cdc watch`: MongoDB to Kafka."""

from __future__ import annotations

from cdc_cli.cli.options import ConfigOpt, LogFormatOpt, LogLevelOpt, SetOpt, VerboseOpt
from cdc_cli.cli.service import run_services


def watch(
    config: ConfigOpt = None,
    set_: SetOpt = None,
    log_level: LogLevelOpt = None,
    log_format: LogFormatOpt = None,
    verbose: VerboseOpt = False,
) -> None:
    """Stream changes from MongoDB to Kafka until a signal.

    The first SIGINT or SIGTERM drains and saves the resume token; a second one leaves at once.
    """
    run_services("watch", ["watch"], config, set_, log_level, log_format, verbose)
