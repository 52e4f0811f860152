"""Whether the topics that are read are still those that were begun: not deleted and made anew under the same name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from cdc_cli.clock import Clock

_LOOK_EVERY = 10.0

TopicIds = Callable[[Collection[str]], Mapping[str, str]]
"""Topics -> Kafka's ids of those that have one. Blocks; raises what TopicAdmin raises."""


class TopicWatch:
    """One thread's object."""

    def __init__(self, ids: TopicIds, clock: Clock) -> None:
        self.ids = ids
        self._clock = clock
        self._begun: dict[str, str] = {}
        self._looked_at = clock.monotonic()

    def begun(self, ids: Mapping[str, str]) -> None:
        """These are read from now on, under these ids."""
        self._begun |= ids

    def renewed(self, topics: Collection[str]) -> set[str]:
        """Those that are others now, asked every ten seconds. They are to be begun again, which the ledger refuses:
        its offset is that of the old one.
        """
        now = self._clock.monotonic()
        if not topics or now - self._looked_at < _LOOK_EVERY:
            return set()
        self._looked_at = now
        return {topic for topic, id_ in self.ids(topics).items() if self._begun.get(topic, id_) != id_}
