"""One long run: start everything, live through the episodes, heal, drain, judge."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.longrun import audit
from tests.faults.longrun.evidence import Moments
from tests.faults.longrun.figures import Figures
from tests.faults.longrun.fleet import ENOUGH, NAMES, Fleet
from tests.faults.longrun.inject import Injector
from tests.faults.longrun.judge import Judge
from tests.faults.longrun.plan import Episode, Fault, episodes, setting
from tests.faults.longrun.poison import Poison
from tests.faults.longrun.progress import RECOVER_WITHIN, Progress
from tests.faults.longrun.rare import Rare
from tests.faults.longrun.signs import Signs
from tests.faults.longrun.site import DRAIN_SECONDS, NAME, Site
from tests.faults.longrun.times import Times, first_sign, name_of
from tests.faults.longrun.tokens import InFile, InRedis, TokenPlace
from tests.faults.longrun.writers import COMPARED, Writers
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics
from tests.support.witness import Witness
from tests.support.workload import HOT

_LOOK_EVERY = 15.0
_CALM, _CALM_WITHIN = 1.2, 4.0
"""Seconds without a sign before a fault whose detection is to be told, and how long that is waited for."""


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
    store: str = ""
    """redis or file; empty = chosen by the seed."""


@dataclass(frozen=True)
class _Cast:
    """Everybody who takes part."""

    site: Site
    fleet: Fleet
    injector: Injector
    writers: Writers
    rare: Rare
    poison: Poison
    signs: Signs
    progress: Progress


class LongRun:
    """`run` does it all; `say` gets progress lines. `journal.jsonl` in the folder tells everything with its time."""

    def __init__(self, options: Options, say: Callable[[str], object] = print) -> None:
        self.setting = setting(options.seed, options.client, options.store)
        self.figures = Figures(options.seed, str(self.setting))
        self._options = options
        self._seed = options.seed
        self._folder = options.folder
        self._say = say
        self.plan: list[Episode] = []

    def run(self, site: Site) -> Figures:
        """Blocks for the time that was asked for, and a minute or two more."""
        with Topics(site.kafka.bootstrap) as topics:
            config = site.config(self.setting.client, self.setting.store)
            pipeline = Pipeline(NAME, self._folder, site.database, site.dsn, config)
            audit.install(site.dsn)
            self._say(f"servers are up; seed {self._seed}, {self.setting}, files in {self._folder}")
            try:
                self._live(site, topics, pipeline)
            finally:
                pipeline.close()
        return self.figures

    def explain(self) -> str:
        """What is needed to see a failure again: the seed, the plan so far, and where the logs are."""
        plan = "\n".join(f"  {episode}" for episode in self.plan)
        return f"seed {self._seed}: {self.setting}; the plan so far:\n{plan}\nlogs and data: {self._folder}"

    def _live(self, site: Site, topics: Topics, pipeline: Pipeline) -> None:
        names = [pipeline.topic(collection) for collection in COMPARED]
        place: TokenPlace = InFile(site.token_file)
        if self.setting.store == "redis":
            place = InRedis(site.valkey.url, site.redis_prefix)
        moments = Moments(self._folder, topics, [*names, pipeline.dead_letter_topic], place.position)
        fleet = Fleet(pipeline, place.leader)
        injector = Injector(site, fleet, moments, names, place)
        witness = Witness(site.database)
        poison = Poison(site.kafka.bootstrap, pipeline.topic(HOT))
        writers = Writers(site.mongo.uri, NAME, self._seed, self._options.rate)
        rare = Rare(site.mongo.uri, NAME, self._seed)
        signs = Signs(lambda: fleet.probed, lambda: fleet.logs)
        cast = _Cast(site, fleet, injector, writers, rare, poison, signs, Progress(site, fleet, writers, pipeline))
        with ExitStack() as closing:
            for close in (writers.close, rare.close, signs.close):
                closing.callback(close)
            try:
                self._act(cast)
                Judge(site, topics, pipeline, self.figures).judge(witness, moments, writers, poison, rare)
            except AssertionError as error:
                self.figures.fail(str(error))
            except Exception as error:
                self.figures.fail(f"the run itself broke: {type(error).__name__}: {error}")
            finally:
                self._add_up(cast)

    def _act(self, cast: _Cast) -> None:
        for name in NAMES:
            cast.fleet.start(name, ready=name == "watch 1")
        cast.signs.start()
        cast.writers.start()
        cast.rare.start()
        self._recover(cast, [Fault("start", "all", 0.0, 0.0)], time.time())
        self._episodes(cast)
        cast.writers.finish()
        cast.rare.finish()
        cast.rare.settle()
        cast.site.heal()
        began = time.monotonic()
        self._expect_equal(cast, "at the end")
        self.figures.drain_seconds = time.monotonic() - began
        self.figures.peaks = cast.fleet.peaks
        cast.injector.look()
        self._stop(cast.fleet)

    def _episodes(self, cast: _Cast) -> None:
        end = time.monotonic() + self._options.seconds
        look_at = time.monotonic() + _LOOK_EVERY
        for episode in episodes(self._seed, self._options.only, self.setting.store):
            if time.monotonic() >= end:
                return
            self.plan.append(episode)
            self._note("episode", number=episode.number, plan=str(episode))
            if len(episode.faults) == 1:
                cast.signs.calm(_CALM, _CALM_WITHIN)
            self._say(f"[{end - time.monotonic():4.0f} s left] {episode}")
            began = self._endure(episode, cast)
            if not self._recover(cast, list(episode.faults), began):
                raise AssertionError("the pipeline did not recover, so the run is broken off")
            cast.poison.plant()
            if episode.quiet:
                cast.progress.at_rest(lambda: self._compare(cast))
            if time.monotonic() > look_at:
                cast.injector.look()
                look_at = time.monotonic() + _LOOK_EVERY

    def _endure(self, episode: Episode, cast: _Cast) -> float:
        """All faults of an episode, each in a thread, until the last one is over; when the first one began."""
        began: list[float] = []

        def inject(fault: Fault) -> None:
            time.sleep(fault.at)
            began.append(time.time())
            self._note("fault.begins", fault=str(fault))
            try:
                cast.injector.inject(fault)
            except Exception as error:
                self.figures.fail(f"{fault} could not be injected: {type(error).__name__}: {error}")
            self._note("fault.ends", fault=str(fault))

        threads = [threading.Thread(target=inject, args=(f,), name=f"fault-{f.name}") for f in episode.faults]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            cast.fleet.tend()
            cast.fleet.measure()
            time.sleep(0.1)
        self.figures.faults.update(fault.name for fault in episode.faults)
        return min(began)

    def _recover(self, cast: _Cast, faults: list[Fault], began: float) -> bool:
        """Heal, and wait until changes that are made now are rows; what was seen meanwhile, and how long it took."""
        cast.site.heal()
        recovered = cast.progress.seconds_to_recover()
        signs = cast.signs.seen(began)
        sign = first_sign(signs, faults, began, time.time())
        detected = None if sign is None else max(0.0, sign.at - began)
        self._note("recovered", seconds=recovered, detected=detected, sign=sign and sign._asdict())
        if recovered is None:
            cast.fleet.dump_stacks()
            ends = "\n".join(f"{process}:\n{process.tail(2)}" for process in cast.fleet.processes.values())
            told = "; ".join(map(str, faults))
            self.figures.fail(f"not recovered {RECOVER_WITHIN:g} s after {told} (I8)\n{ends}")
            return False
        if faults[0].kind != "start":
            self.figures.times.append(Times(name_of(faults), detected, sign.kind if sign else "", recovered))
        return True

    def _compare(self, cast: _Cast) -> None:
        """At a quiet point under way."""
        cast.rare.settle()
        began = time.monotonic()
        self._expect_equal(cast, "at a quiet point")
        self.figures.comparisons += 1
        self.figures.compared += cast.progress.documents()
        self._note("compared", seconds=time.monotonic() - began)

    def _expect_equal(self, cast: _Cast, when: str) -> None:
        found = cast.progress.differences()
        if found:
            self.figures.lost += len(found)
            cast.fleet.dump_stacks()
            self.figures.fail(f"{len(found)} rows differ {when}, {RECOVER_WITHIN:g} s later (I1): {found[:3]}")

    def _stop(self, fleet: Fleet) -> None:
        for name, code, seconds in fleet.close():
            self.figures.sigterm_seconds.append(seconds)
            if code not in (0, 75) or seconds > DRAIN_SECONDS + 2:
                self.figures.fail(f"{name} ended with {code} after {seconds:.1f} s")

    def _add_up(self, cast: _Cast) -> None:
        figures, fleet, writers, rare = self.figures, cast.fleet, cast.writers, cast.rare
        figures.kills, figures.exits, figures.peaks = fleet.kills, fleet.exits, fleet.peaks
        figures.acknowledged = writers.acknowledged + rare.acknowledged
        figures.unknown = writers.unknown + rare.unknown
        figures.large, figures.added_partitions = rare.large, cast.injector.added_partitions
        figures.sigterm_seconds += fleet.sigterm_seconds
        for sentence in fleet.unexpected[:ENOUGH]:
            figures.fail(sentence)

    def _note(self, what: str, **fields: Any) -> None:
        with (self._folder / "journal.jsonl").open("a") as journal:
            journal.write(json.dumps({"at": round(time.time(), 3), "what": what, **fields}, default=str) + "\n")
