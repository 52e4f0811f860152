"""One long run: start everything, live through the episodes, heal, drain, judge."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import WriteConcern
from pymongo.errors import PyMongoError

from cdc_cli.demo.servers.process import wait_until
from tests.faults.longrun import audit
from tests.faults.longrun.evidence import (
    Moments,
    events_of,
    leader_in_redis,
    never_sent,
    offsets_ahead,
    out_of_order,
    token_ahead,
    token_in_redis,
)
from tests.faults.longrun.figures import Figures
from tests.faults.longrun.fleet import NAMES, Fleet
from tests.faults.longrun.inject import Injector
from tests.faults.longrun.plan import Episode, Fault, episodes
from tests.faults.longrun.poison import Poison
from tests.faults.longrun.site import DRAIN_SECONDS, NAME, Site
from tests.faults.longrun.writers import COMPARED, LEDGER, PROBES, Writers
from tests.support.pipeline import Pipeline
from tests.support.rows import query
from tests.support.topics import Topics
from tests.support.witness import Witness
from tests.support.workload import HOT

RECOVER_WITHIN = 90.0
"""Seconds from the heal to a new change in PostgreSQL; a group whose member is gone waits for its session first."""
CAPS = {"rss": 400 * 1024, "threads": 60, "fds": 150}
_LOOK_EVERY = 15.0


@dataclass(frozen=True)
class Options:
    """What a run is asked for: `seconds` of faults, writers of `rate` operations a second, files in `folder`."""

    seed: int
    seconds: float
    folder: Path
    rate: float = 150.0
    client: str = ""
    """The Kafka client; empty = chosen by the seed."""
    only: Collection[str] = ()
    """Names of faults, empty = all."""


class LongRun:
    """`run` does it all; `say` gets progress lines."""

    def __init__(self, options: Options, say: Callable[[str], object] = print) -> None:
        self.figures = Figures(options.seed)
        self._options = options
        self._seed = options.seed
        self._folder = options.folder
        self._say = say
        chosen = random.Random(f"run/{options.seed}").choice(("kafka-python", "confluent"))
        self.client = options.client or chosen
        self.plan: list[Episode] = []

    def run(self, site: Site) -> Figures:
        """Blocks for the time that was asked for, and a minute or two more."""
        with Topics(site.kafka.bootstrap) as topics:
            pipeline = Pipeline(NAME, self._folder, site.database, site.dsn, site.config(self.client))
            audit.install(site.dsn)
            self._say(f"servers are up; seed {self._seed}, Kafka client {self.client}, files in {self._folder}")
            try:
                self._live(site, topics, pipeline)
            finally:
                pipeline.close()
        return self.figures

    def _live(self, site: Site, topics: Topics, pipeline: Pipeline) -> None:
        names = [pipeline.topic(collection) for collection in COMPARED]
        url, prefix = site.valkey.url, site.redis_prefix
        moments = Moments(self._folder, topics, names, token_in_redis(url, prefix))
        fleet = Fleet(pipeline, leader_in_redis(url, prefix))
        injector = Injector(site, fleet, moments, names, self._seed)
        witness = Witness(site.database)
        poison = Poison(site.kafka.bootstrap, pipeline.topic(HOT))
        writers = Writers(site.mongo.uri, NAME, self._seed, self._options.rate)
        try:
            for name in NAMES:
                fleet.start(name, ready=name == "watch 1")
            writers.start()
            self._recover(site, fleet, writers, [Fault("start", "all", 0.0, 0.0)])
            self._episodes(site, fleet, injector, writers, poison)
            writers.finish()
            self._drain(site, fleet, pipeline)
            injector.look()
            self._stop(fleet)
            self._judge(site, topics, pipeline, witness, moments, writers, poison)
        except AssertionError as error:
            self.figures.fail(str(error))
        except Exception as error:
            self.figures.fail(f"the run itself broke: {type(error).__name__}: {error}")
        finally:
            figures = self.figures
            figures.kills, figures.exits, figures.peaks = fleet.kills, fleet.exits, fleet.peaks
            figures.acknowledged, figures.unknown = writers.acknowledged, writers.unknown
            figures.sigterm_seconds += fleet.sigterm_seconds
            for sentence in fleet.unexpected:
                figures.fail(sentence)
            writers.close()

    def _episodes(
        self, site: Site, fleet: Fleet, injector: Injector, writers: Writers, poison: Poison
    ) -> None:
        end = time.monotonic() + self._options.seconds
        look_at = time.monotonic() + _LOOK_EVERY
        for episode in episodes(self._seed, self._options.only):
            if time.monotonic() >= end:
                return
            self.plan.append(episode)
            self._say(f"[{end - time.monotonic():4.0f} s left] {episode}")
            self._endure(episode, fleet, injector)
            if not self._recover(site, fleet, writers, list(episode.faults)):
                raise AssertionError("the pipeline did not recover, so the run is broken off")
            poison.plant()
            if time.monotonic() > look_at:
                injector.look()
                look_at = time.monotonic() + _LOOK_EVERY

    def _endure(self, episode: Episode, fleet: Fleet, injector: Injector) -> None:
        """All faults of an episode, each in a thread, until the last one is over."""

        def inject(fault: Fault) -> None:
            time.sleep(fault.at)
            try:
                injector.inject(fault)
            except Exception as error:
                self.figures.fail(f"{fault} could not be injected: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=inject, args=(f,), name=f"fault-{f.name}") for f in episode.faults]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            fleet.tend()
            fleet.measure()
            time.sleep(0.1)
        self.figures.faults.update(fault.name for fault in episode.faults)

    def _recover(self, site: Site, fleet: Fleet, writers: Writers, faults: list[Fault]) -> bool:
        """Heal, and wait until a change that is made now is a row; how long that took counts for the fault."""
        site.heal()
        began = time.monotonic()
        id_ = f"probe {began}"

        def written() -> bool:
            try:
                probes = writers.database.get_collection(PROBES, write_concern=WriteConcern("majority"))
                probes.update_one({"_id": id_}, {"$set": {"seen": True}}, upsert=True)
                return True
            except PyMongoError:
                return False

        def arrived() -> bool:
            fleet.tend()
            fleet.measure()
            try:
                return query(site.dsn, f"SELECT 1 FROM public.{PROBES} WHERE _id = %s", id_) == [(1,)]
            except Exception:
                return False
            finally:
                time.sleep(0.05)

        recovered = wait_until(written, 60) and wait_until(arrived, RECOVER_WITHIN)
        name = faults[0].name if len(faults) == 1 else f"{len(faults)} faults at once"
        if recovered:
            self.figures.recovery[name].append(time.monotonic() - began)
        else:
            fleet.dump_stacks()
            ends = "\n".join(f"{process}:\n{process.tail(2)}" for process in fleet.processes.values())
            self.figures.fail(f"not recovered {RECOVER_WITHIN:g} s after {'; '.join(map(str, faults))} (I8)\n{ends}")
        return recovered

    def _drain(self, site: Site, fleet: Fleet, pipeline: Pipeline) -> None:
        site.heal()
        began = time.monotonic()

        def equal() -> bool:
            fleet.tend()
            return not pipeline.differences(*COMPARED)

        if not wait_until(equal, RECOVER_WITHIN):
            found = pipeline.differences(*COMPARED)
            self.figures.lost = len(found)
            self.figures.fail(f"{len(found)} rows differ after {RECOVER_WITHIN:g} s of drain (I1): {found[:3]}")
        self.figures.drain_seconds = time.monotonic() - began

    def _stop(self, fleet: Fleet) -> None:
        for name, code, seconds in fleet.close():
            self.figures.sigterm_seconds.append(seconds)
            if code not in (0, 75) or seconds > DRAIN_SECONDS + 2:
                self.figures.fail(f"{name} ended with {code} after {seconds:.1f} s")

    def _judge(
        self, site: Site, topics: Topics, pipeline: Pipeline, witness: Witness, moments: Moments, writers: Writers,
        poison: Poison,
    ) -> None:
        figures = self.figures
        records = topics.read([pipeline.topic(name) for name in COMPARED])
        events = events_of(record for record in records if not (record.key or b"").startswith(b"poison-"))
        changes = [change for change in witness.changes() if change.collection in COMPARED]
        figures.changes, figures.records = len(changes), len(events)
        figures.repeated = len(events) - len({event.position for event in events})
        self._expect("changes never reached Kafka (I2)", never_sent(changes, events))
        disorder = out_of_order(changes, events)
        figures.disorder = len(disorder)
        self._expect("records out of order (I6)", disorder)
        figures.written, regressions = audit.regressions(site.dsn)
        figures.regressions = len(regressions)
        self._expect("rows went back (I3)", regressions)
        figures.token_moments, figures.offset_moments = len(moments.tokens), len(moments.offsets)
        figures.unseen_moments = moments.unseen
        for token in moments.tokens:
            ahead = token_ahead(token, changes, events)
            figures.token_ahead += len(ahead)
            self._expect(f"changes behind the token at {token.position} (I4)", ahead)
        for file in moments.offsets:
            behind = offsets_ahead(file, events)
            figures.offset_ahead += len(behind)
            self._expect(f"records behind the offsets in {file.name} (I5)", behind)
        self._compare(site, topics, pipeline, writers, poison)

    def _compare(
        self, site: Site, topics: Topics, pipeline: Pipeline, writers: Writers, poison: Poison
    ) -> None:
        figures = self.figures
        figures.rows = sum(query(site.dsn, f"SELECT count(*) FROM public.{name}")[0][0] for name in COMPARED)
        there = {id_ for (id_,) in query(site.dsn, f"SELECT _id FROM public.{LEDGER}")}
        missing = writers.ledger - there
        figures.lost += len(missing)
        self._expect("acknowledged inserts are no rows (I2)", sorted(missing))
        letters = topics.read([pipeline.dead_letter_topic])
        figures.planted, figures.dead_letters = len(poison.planted), len(letters)
        buried = {(letter.key or b"").decode() for letter in letters}
        self._expect("planted records are no dead letters", [key for key in poison.planted if key not in buried])
        self._expect("dead letters that were not planted", sorted(buried - poison.tried))
        for name, peaks in figures.peaks.items():
            over = [f"{what} {peaks.get(what, 0)} > {cap}" for what, cap in CAPS.items() if peaks.get(what, 0) > cap]
            self._expect(f"{name} exceeded its caps (I7)", over)

    def _expect(self, what: str, found: list[Any]) -> None:
        if found:
            self.figures.fail(f"{len(found)} {what}: {found[:3]}")
