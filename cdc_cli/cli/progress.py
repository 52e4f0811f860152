"""How far a replay has got, on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cdc_cli.cli.output import Output
from cdc_cli.clock import Clock
from cdc_cli.workers.replay import Tally

_EVERY = 5.0

Progress = Callable[[int, Tally], None]
"""Takes the records passed so far, and what became of them."""


@contextmanager
def progress_of(output: Output, clock: Clock, total: int) -> Iterator[Progress]:
    """While inside, progress is shown to whoever can see it."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(total) as progress:
            yield progress
        return
    last = clock.monotonic()

    def tell(passed: int, tally: Tally) -> None:
        nonlocal last
        now = clock.monotonic()
        if now - last >= _EVERY:
            last = now
            output.note(f"{passed} of {total} records ({passed * 100 // max(1, total)} %): {_words(tally)}")

    yield tell


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("reading", total=total)
        yield lambda passed, tally: bar.update(task, completed=passed, description=_words(tally))


def _words(tally: Tally) -> str:
    return f"{tally.applied} applied, {tally.stale} stale, {tally.failed} failed"
