"""What `cdc token show` tells: the stored token, and what MongoDB says about its position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cdc_cli.capture.identity import Identity
from cdc_cli.capture.pipeline import filters_text, fingerprint, stream_name
from cdc_cli.capture.probe import Probe, Resumable
from cdc_cli.capture.runway import Oplog
from cdc_cli.checkpoint import TokenRecord, TokenStore, Writer
from cdc_cli.checkpoint.belonging import Belonging, mismatches
from cdc_cli.checkpoint.record import shown_time
from cdc_cli.errors import CdcError
from cdc_cli.events import Mark
from cdc_cli.settings.models import MongoSettings
from cdc_cli.settings.shard import Shard

_AHEAD = 60
"""Seconds; a position that much beyond the newest entry of the oplog was saved elsewhere."""


class Source(Protocol):
    """What is asked of MongoDB; see `capture.source`."""

    def identity(self) -> Identity: ...
    def oplog(self) -> Oplog | None: ...
    def probe(self, mark: Mark) -> Probe: ...
    def now(self) -> Mark: ...
    def count(self, since: tuple[int, int], until: tuple[int, int] | None = None) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Status:
    """`place` is the token's cluster time; `runway` and `runway_now` are seconds, at the average and at the
    recent rate of writing. None and empty mean not known or not there.
    """

    store: str
    record: TokenRecord | None
    holder: Writer | None
    place: tuple[int, int] | None
    oplog: Oplog | None
    probe: Probe
    runway: float | None
    runway_now: float | None
    mismatches: dict[str, str]
    warnings: list[str]


def inspect(store: TokenStore, source: Source, settings: MongoSettings, shard: Shard | None) -> Status:
    """Looks at both and changes nothing. MongoDB out of reach is a warning, not an error.

    Raises PositionLost for a damaged token; Retryable, Denied when the store cannot be read.
    """
    record = store.load()
    holder, warnings = store.holder(), list(store.warnings())
    place = shown_time(record.mark) if record else None
    oplog: Oplog | None = None
    identity: Identity | None = None
    probe = Probe(Resumable.UNKNOWN, "there is no token")
    try:
        identity = source.identity()
        if record is not None:
            probe = source.probe(record.mark)
        oplog = source.oplog()
    except CdcError as exc:
        warnings.append(exc.message)
        if record is not None and identity is None:
            probe = Probe(Resumable.UNKNOWN, "MongoDB could not be asked")
    if oplog and place and place[0] > oplog.last[0] + _AHEAD:
        warnings.append("the position lies in MongoDB's future: nothing is sent until it gets there")
    known = Belonging(stream_name(settings, shard), fingerprint(settings), *(identity or ("", "")))
    return Status(
        store=store.describe(),
        record=record,
        holder=holder,
        place=place,
        oplog=oplog,
        probe=probe,
        runway=oplog.runway(place) if oplog and place else None,
        runway_now=oplog.runway(place, oplog.recent_rate) if oplog and place else None,
        mismatches=mismatches(record, known, filters_text(settings)) if record else {},
        warnings=warnings,
    )
