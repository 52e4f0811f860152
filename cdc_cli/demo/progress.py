"""What is shown while the demonstration runs: a live view on a terminal, a line every few seconds elsewhere.

Both write to stderr: the result alone belongs on stdout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from cdc_cli.clock import Clock
from cdc_cli.demo.stages import Rates, Sample
from cdc_cli.observe.terminal import has_color

if TYPE_CHECKING:
    from rich.table import Table

_EVERY = 3.0
"""Seconds between plain lines."""
_BAR = 24


class View(Protocol):
    """Where progress goes. `done` may be called by any thread, the rest by the main thread."""

    def doing(self, text: str) -> None:
        """What has begun and will take a moment."""
        ...

    def done(self, text: str) -> None:
        """What has been reached; stays on the screen."""
        ...

    def show(self, sample: Sample, rates: Rates, goal: int | None) -> None:
        """How far the stages are; `goal` is the number of changes that will have been made, when known."""
        ...


class PlainView:
    """Lines, for logs and pipes. `note` prints one."""

    def __init__(self, note: Callable[[str], None], clock: Clock) -> None:
        self._note = note
        self._clock = clock
        self._due = clock.monotonic()

    def doing(self, text: str) -> None:
        self._note(f"... {text}")

    def done(self, text: str) -> None:
        self._note(f"[OK] {text}")

    def show(self, sample: Sample, rates: Rates, goal: int | None) -> None:
        if self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + _EVERY
        self._note(
            f"     MongoDB {sample.written:,} ({rates.written:,.0f}/s)  Kafka {sample.sent:,} ({rates.sent:,.0f}/s)  "
            f"PostgreSQL {sample.applied:,} ({rates.applied:,.0f}/s)  rows {sample.rows:,}  lag {sample.lag:.2f} s"
        )


class LiveView:
    """A table that is drawn anew four times a second, under the lines of what has been reached."""

    def __init__(self, live: Any, mark: str) -> None:
        self._live = live
        self._mark = mark
        self._text = ""

    def doing(self, text: str) -> None:
        from rich.spinner import Spinner

        self._text = text
        self._live.update(Spinner("dots", text=f" {text}", style="cyan"))

    def done(self, text: str) -> None:
        self._live.console.print(f"[green]{self._mark}[/green] {text}", highlight=False)

    def show(self, sample: Sample, rates: Rates, goal: int | None) -> None:
        self._live.update(_table(sample, rates, goal, self._text))


def _table(sample: Sample, rates: Rates, goal: int | None, title: str) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, title=title, title_justify="left", title_style="cyan", pad_edge=False)
    table.add_column("", min_width=11)
    table.add_column("changes", justify="right", min_width=9)
    table.add_column("per second", justify="right", min_width=10)
    table.add_column("", width=_BAR)
    stages = (
        ("MongoDB", sample.written, rates.written),
        ("Kafka", sample.sent, rates.sent),
        ("PostgreSQL", sample.applied, rates.applied),
    )
    total = max(goal or 0, sample.written, 1)
    for name, count, rate in stages:
        table.add_row(name, f"{count:,}", f"{rate:,.0f}", ProgressBar(total, count, width=_BAR))
    table.add_row("rows", f"{sample.rows:,}")
    table.add_row("lag", f"{sample.lag:.2f} s")
    return table


@contextmanager
def view_on(
    stream: TextIO, environment: Mapping[str, str], is_live: bool, note: Callable[[str], None], clock: Clock
) -> Iterator[View]:
    """The view that fits: live where somebody watches a terminal that can redraw lines."""
    if not is_live or environment.get("TERM") in (None, "", "dumb"):
        yield PlainView(note, clock)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, no_color=not has_color(stream, environment))
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield LiveView(live, "✓")
