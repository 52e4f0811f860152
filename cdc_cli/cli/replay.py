"""`cdc replay`: apply a stretch of Kafka once more."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc_cli.cli.options import ConfigOpt, ExecuteOpt, LogFormatOpt, LogLevelOpt, OutputOpt, SetOpt, VerboseOpt
from cdc_cli.cli.output import OutputFormat

SinceOpt = Annotated[
    str | None, typer.Option("--since", metavar="DURATION", help="What came to Kafka in the last 30m, 2h, 7d.")
]
FromOpt = Annotated[
    str | None,
    typer.Option("--from", metavar="T", help="What came since then: ISO-8601, UTC without a zone."),
]
UntilOpt = Annotated[
    str | None, typer.Option("--until", metavar="T", help="Only what came before then. [default: now]")
]
AllOpt = Annotated[bool, typer.Option("--all", help="Everything that Kafka keeps.")]
DeadLettersOpt = Annotated[
    bool, typer.Option("--dead-letters", help="The dead letters that wait: neither replayed nor discarded.")
]
OffsetsOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--topic-partition",
        metavar="T:P:A-B",
        help="Offsets A to B of partition P, without B; A- is to the end. Repeatable.",
    ),
]
CollectionOpt = Annotated[
    list[str] | None, typer.Option("--collection", metavar="C", help="Only this collection. Repeatable.")
]
KeyOpt = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="K", help="Only the document with this _id. Repeatable."),
]
PartialOpt = Annotated[
    bool, typer.Option("--allow-partial", help="Replay what is there when some of it is no longer kept.")
]


def replay(
    since: SinceOpt = None,
    from_: FromOpt = None,
    until: UntilOpt = None,
    all_: AllOpt = False,
    dead_letters: DeadLettersOpt = False,
    topic_partition: OffsetsOpt = None,
    collection: CollectionOpt = None,
    key: KeyOpt = None,
    allow_partial: PartialOpt = False,
    execute: ExecuteOpt = False,
    config: ConfigOpt = None,
    set_: SetOpt = None,
    output: OutputOpt = OutputFormat.TEXT,
    log_level: LogLevelOpt = None,
    log_format: LogFormatOpt = None,
    verbose: VerboseOpt = False,
) -> None:
    """Apply records from Kafka once more: missing rows come back, rows that are as new already stay.

    Shows the plan; --execute carries it out. Works beside a running `cdc sync`, whose offsets do not move.
    """
    from cdc_cli.cli.replay_request import Asked
    from cdc_cli.cli.replay_run import run
    from cdc_cli.cli.session import open_session

    asked = Asked(
        since, from_, until, all_, dead_letters, topic_partition or (), collection or (), key or ()
    )
    asked.check()
    with open_session(
        "replay",
        config=config,
        overrides=set_,
        output=output,
        log_level=log_level,
        log_format=log_format,
        verbose=verbose,
    ) as session:
        run(session, asked, execute, allow_partial)
