"""`cdc watch`: MongoDB to Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc_cli.cli.options import ConfigOpt, LogFormatOpt, LogLevelOpt, SetOpt, ShardOpt, VerboseOpt
from cdc_cli.cli.service import run_services
from cdc_cli.cli.shards import with_shard

StandbyOpt = Annotated[
    bool, typer.Option("--standby", help="Wait while another watcher leads, and take over (watcher.standby).")
]


def watch(
    standby: StandbyOpt = False,
    shard: ShardOpt = None,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    log_level: LogLevelOpt = None,
    log_format: LogFormatOpt = None,
    verbose: VerboseOpt = False,
) -> None:
    """Stream changes from MongoDB to Kafka until a signal.

    The first SIGINT or SIGTERM drains and saves the resume token; a second one leaves at once.
    """
    overrides = [*with_shard(set_, shard), *(["watcher.standby=true"] if standby else [])]
    run_services("watch", ["watch"], config, overrides, log_level, log_format, verbose)
