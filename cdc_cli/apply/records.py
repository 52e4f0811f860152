"""A record's bytes as a change for the writer: decode the envelope, map it to the row."""

from __future__ import annotations

from collections import Counter

from cdc_cli.apply import Change
from cdc_cli.apply.mapping import Mapper
from cdc_cli.envelope.decode import decode


class EnvelopeMapper:
    """One lane's mapper; not thread-safe, as it counts."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper

    @property
    def adjusted(self) -> Counter[str]:
        return self._mapper.adjusted

    def map(self, value: bytes | None, source: object) -> Change | None:
        """See Mapper.map; raises PoisonEvent for what is no envelope of ours."""
        return self._mapper.map(decode(value), source)
