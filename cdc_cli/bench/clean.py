"""Cleaning up: everything is tried, whatever fails before; what is left is named with the command that removes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cdc_cli.bench.names import Run
from cdc_cli.bench.things import Leftover, Site, Thing
from cdc_cli.errors import CdcError


@dataclass(slots=True)
class Cleaned:
    """What was removed, and what could not be."""

    removed: list[Thing] = field(default_factory=list)
    left: list[Leftover] = field(default_factory=list)


def clean_run(
    sites: Iterable[Site], run: Run, expected: Sequence[Thing], command: Callable[[Thing], str]
) -> Cleaned:
    """Remove all that a run has made. A site that cannot be asked may still have what is `expected` of it."""
    cleaned = Cleaned()
    for site in sites:
        try:
            things = site.find(run)
        except CdcError as error:
            there = [thing for thing in expected if thing.kind in site.kinds]
            cleaned.left += [Leftover(thing, error.message, command(thing)) for thing in there]
            continue
        remove(site, things, cleaned, command)
    return cleaned


def remove(site: Site, things: Iterable[Thing], cleaned: Cleaned, command: Callable[[Thing], str]) -> None:
    """Remove these of one site; what fails is noted in `cleaned`."""
    for thing in things:
        try:
            site.remove(thing)
            cleaned.removed.append(thing)
        except CdcError as error:
            cleaned.left.append(Leftover(thing, error.message, command(thing)))
