"""The verdict at the end of a run: every invariant, from what stands in MongoDB's stream, Kafka and PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.faults.longrun import audit
from tests.faults.longrun.evidence import (
    Event,
    Letter,
    Moments,
    events_of,
    letters_of,
    never_sent,
    offsets_ahead,
    out_of_order,
    token_ahead,
)
from tests.faults.longrun.figures import Figures
from tests.faults.longrun.poison import Poison
from tests.faults.longrun.rare import OVERSIZED, Rare
from tests.faults.longrun.site import Site
from tests.faults.longrun.writers import COMPARED, LEDGER, Writers
from tests.support.pipeline import Pipeline
from tests.support.rows import query
from tests.support.topics import Topics
from tests.support.witness import Seen, Witness

CAPS = {"rss": 512 * 1024, "threads": 60, "fds": 150}


@dataclass(frozen=True)
class Judge:
    """Reads everything once; the figures take the counts and, in sentences, what is wrong."""

    site: Site
    topics: Topics
    pipeline: Pipeline
    figures: Figures

    def judge(self, witness: Witness, moments: Moments, writers: Writers, poison: Poison, rare: Rare) -> None:
        """Blocks for as long as reading all topics takes."""
        figures = self.figures
        records = self.topics.read([self.pipeline.topic(name) for name in COMPARED])
        events = events_of(record for record in records if not (record.key or b"").startswith(b"poison-"))
        letters = letters_of(self.topics.read([self.pipeline.dead_letter_topic]))
        changes = [change for change in witness.changes() if change.collection in COMPARED]
        figures.changes, figures.records = len(changes), len(events)
        figures.repeated = len(events) - len({event.position for event in events})
        kept: list[Event | Letter] = [*events, *letters]
        lost = never_sent(changes, kept)
        figures.lost += len(lost)
        self.expect_none("changes never reached Kafka (I2)", lost)
        disorder = out_of_order(changes, events)
        figures.disorder = len(disorder)
        self.expect_none("records out of order (I6)", disorder)
        figures.written, regressions = audit.regressions(self.site.dsn)
        figures.regressions = len(regressions)
        self.expect_none("rows went back (I3)", regressions)
        self._moments(moments, changes, events, kept)
        self._ledger(writers)
        self._letters(letters, changes, poison, rare)
        for name, peaks in figures.peaks.items():
            over = [f"{what} {peaks.get(what, 0)} > {cap}" for what, cap in CAPS.items() if peaks.get(what, 0) > cap]
            self.expect_none(f"{name} exceeded its caps (I7)", over)

    def expect_none(self, what: str, found: Sequence[Any]) -> None:
        if found:
            self.figures.fail(f"{len(found)} {what}: {list(found)[:3]}")

    def _moments(
        self, moments: Moments, changes: Sequence[Seen], events: Sequence[Event], kept: Sequence[Event | Letter]
    ) -> None:
        figures = self.figures
        figures.token_moments, figures.offset_moments = len(moments.tokens), len(moments.offsets)
        figures.unseen_moments = moments.unseen
        for token in moments.tokens:
            ahead = token_ahead(token, changes, kept)
            figures.token_ahead += len(ahead)
            self.expect_none(f"changes behind the token at {token.position} (I4)", ahead)
        for file in moments.offsets:
            behind = offsets_ahead(file, events)
            figures.offset_ahead += len(behind)
            self.expect_none(f"records behind the offsets in {file.name} (I5)", behind)

    def _ledger(self, writers: Writers) -> None:
        figures, dsn = self.figures, self.site.dsn
        tables = [name for name in COMPARED if _has(dsn, name)]
        figures.rows = sum(query(dsn, f"SELECT count(*) FROM public.{name}")[0][0] for name in tables)
        there = {id_ for (id_,) in query(dsn, f"SELECT _id FROM public.{LEDGER}")}
        missing = writers.ledger - there
        figures.lost += len(missing)
        self.expect_none("acknowledged inserts are no rows (I2)", sorted(missing))

    def _letters(self, letters: Sequence[Letter], changes: Sequence[Seen], poison: Poison, rare: Rare) -> None:
        """What was planted is there, and nothing else; a change that was sent again may be there twice."""
        figures = self.figures
        figures.planted = len(poison.planted) + len(rare.oversized)
        figures.dead_letters = len({(letter.key, letter.position) for letter in letters})
        planted = Planted(poison.planted, poison.tried, rare.oversized)
        allowed = {change.position for change in changes if change.collection == OVERSIZED}
        for what, found in unaccounted(letters, planted, allowed).items():
            self.expect_none(what, found)


class Planted(NamedTuple):
    """What has to be among the dead letters, and what may be: keys of junk that Kafka took for certain, and of all junk
    that was tried; `_id`s of documents that no record can carry."""

    junk: Collection[str]
    tried: Collection[str]
    oversized: Collection[str]


def unaccounted(letters: Sequence[Letter], planted: Planted, positions: Collection[str]) -> dict[str, list[Any]]:
    """By what is wrong. `positions` are those of all changes of the documents that may be too large."""
    keys = {letter.key.decode() for letter in letters}
    others = [one for one in letters if one.key.decode() not in planted.tried and one.position not in positions]
    return {
        "planted records are no dead letters": sorted(set(planted.junk) - keys),
        "documents too large for Kafka are no dead letters": [
            id_ for id_ in sorted(planted.oversized) if not any(f'"{id_}"' in key for key in keys)
        ],
        "dead letters that were not planted": others,
    }


def _has(dsn: str, table: str) -> bool:
    return query(dsn, "SELECT to_regclass(%s)", f"public.{table}") != [(None,)]
