"""One demonstration from start to end: servers, services, the game, the wait until all has arrived, the comparison.

Everything blocks in the main thread, and every wait looks at the stop event: an interruption comes out as
KeyboardInterrupt, and the exit stack ends what was begun, in the opposite order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdc_cli.clock import Clock
from cdc_cli.demo import kept
from cdc_cli.demo.arrival import last_commit
from cdc_cli.demo.compare import Comparison, compare
from cdc_cli.demo.environment import Environment
from cdc_cli.demo.probe import Probe
from cdc_cli.demo.progress import View
from cdc_cli.demo.servers import EmbeddedServer, ServerError
from cdc_cli.demo.services import Service
from cdc_cli.demo.stages import Stages
from cdc_cli.demo.summary import Report, Server
from cdc_cli.demo.versions import TITLES, kafka_client, versions
from cdc_cli.demo.words import DATABASE, PROBES
from cdc_cli.demo.writers import Tally, Writers
from cdc_cli.errors import CdcError, Fatal

_STEP = 0.1
_READY = 60.0
_STUCK = 15.0
"""Seconds without any progress after which what is missing counts as lost."""
_WRITERS = 4


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for: so many changes, so many seconds of them, or what is reached first."""

    changes: int | None
    seconds: float | None
    keep: bool


def run_demo(folder: Path, wishes: Wishes, view: View, clock: Clock, stop: threading.Event) -> Report:
    """Play it all in `folder` and measure. Blocks for most of a minute.

    With `keep` and a full run the servers stay, else neither a process nor the folder does; of a failure the logs
    stay. Raises CdcError, and KeyboardInterrupt when `stop` was set.
    """
    environment = Environment(folder, wishes.keep)
    has_ended, needs_logs = False, False
    try:
        with _translated(folder):
            report = _Demo(environment, wishes, view, clock, stop).play()
        has_ended, needs_logs = True, bool(report.problems)
        return report
    except Exception as error:
        # Only what somebody is told about may stay.
        needs_logs = not isinstance(error, CdcError) or str(folder) in error.message + error.hint
        raise
    finally:
        if not (wishes.keep and has_ended):
            environment.stop()
            environment.remove(but_logs=needs_logs)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """A server that breaks down under the demonstration is no bug of ours."""
    import psycopg2
    from kafka.errors import KafkaError
    from pymongo.errors import PyMongoError

    try:
        yield
    except (PyMongoError, psycopg2.Error, KafkaError) as exc:
        raise ServerError(
            f"an embedded server failed during the demonstration: {type(exc).__name__}: {exc}",
            f"is there enough memory and disk space? The logs are in {folder}",
        ) from exc


class _Demo:
    def __init__(
        self, environment: Environment, wishes: Wishes, view: View, clock: Clock, stop: threading.Event
    ) -> None:
        self._environment = environment
        self._wishes = wishes
        self._view = view
        self._clock = clock
        self._stop = stop
        self._services = [Service(name, environment.config, environment.folder) for name in ("watch", "sync")]
        self._seconds: dict[str, float] = {}
        self._tally = Tally()

    def play(self) -> Report:
        began = self._clock.monotonic()
        with ExitStack() as stack:
            self._start_servers()
            mongo, postgres = self._connect(stack)
            probe = Probe(mongo[DATABASE][PROBES], postgres(), self._tally, self._clock)
            stages = Stages(
                self._environment.kafka.bootstrap, postgres(), lambda: self._tally.total, lambda: probe.lag, self._clock
            )
            stack.callback(probe.end)
            self._start_services(stack, probe)
            stack.callback(stages.end)
            stages.start()
            self._play_game(stack, mongo, postgres(), probe, stages)
            self._view.doing("everything has arrived: stopping cdc watch and cdc sync")
            exit_codes = self._drain()
            stages.end()
            comparison = self._compare(mongo, postgres())
            self._seconds["total"] = self._clock.monotonic() - began
            return self._report(mongo, postgres(), probe, stages, comparison, exit_codes)

    def _start_servers(self) -> None:
        self._view.doing(f"starting MongoDB, a Kafka broker and PostgreSQL in {self._environment.folder}")

        def is_up(server: EmbeddedServer) -> None:
            self._view.done(f"{TITLES[server.name]:<24}{server.address:<24}{server.started_in:.1f} s")

        began = self._clock.monotonic()
        self._environment.start(is_up)
        if self._wishes.keep:
            kept.record(self._environment.folder, self._environment.servers)
        self._seconds["servers"] = self._clock.monotonic() - began
        self._check()

    def _connect(self, stack: ExitStack) -> tuple[Any, Callable[[], Any]]:
        """A client of MongoDB, and a maker of connections to PostgreSQL; closed with the stack."""
        import psycopg2
        from pymongo import MongoClient

        mongo: MongoClient[dict[str, Any]] = MongoClient(
            self._environment.mongodb.uri, w="majority", serverSelectionTimeoutMS=5000, uuidRepresentation="standard"
        )
        stack.callback(mongo.close)

        def postgres() -> Any:
            connection = psycopg2.connect(self._environment.postgres.dsn, connect_timeout=5)
            stack.callback(connection.close)
            connection.autocommit = True
            return connection

        return mongo, postgres

    def _start_services(self, stack: ExitStack, probe: Probe) -> None:
        self._view.doing("starting cdc watch and cdc sync")
        began = self._clock.monotonic()
        for service in self._services:
            stack.callback(service.kill)
            service.start()
        self._until(lambda: all(service.is_ready for service in self._services), "cdc watch and cdc sync to start")
        probe.send_first()
        self._view.doing("waiting for the first change to arrive (the consumer group forms)")
        self._until(probe.has_first_arrived, "the first change to arrive")
        self._seconds["services"] = self._clock.monotonic() - began
        pids = ", ".join(str(service.pid) for service in self._services)
        self._view.done(f"{'cdc watch, cdc sync':<24}{'pid ' + pids:<24}{self._seconds['services']:.1f} s")

    def _play_game(self, stack: ExitStack, mongo: Any, postgres: Any, probe: Probe, stages: Stages) -> None:
        wishes = self._wishes
        writers = Writers(mongo, DATABASE, self._tally, wishes.changes, _WRITERS, self._clock)
        stack.callback(writers.end)
        self._view.doing(f"{_WRITERS} writers play the game")
        began = self._clock.time()
        probe.start()
        writers.start()
        while not writers.are_done:
            if wishes.seconds is not None and self._clock.time() - began >= wishes.seconds:
                writers.end()
            probe.check()
            self._show(stages)
        probe.enough()
        written = self._clock.time()
        self._view.doing("waiting until everything has arrived")
        self._settle(probe, stages)
        arrived = last_commit(postgres) or written
        self._seconds |= {"writing": written - began, "behind": arrived - written, "pipeline": arrived - began}

    def _settle(self, probe: Probe, stages: Stages) -> None:
        """Wait until the offsets in PostgreSQL say that every change is applied, or nothing moves any more."""
        best, since = -1, self._clock.monotonic()
        while min(*(reached := stages.latest[2:4])) < self._tally.total or probe.under_way:
            if sum(reached) > best:
                best, since = sum(reached), self._clock.monotonic()
            if self._clock.monotonic() - since > _STUCK:
                return
            probe.check()
            self._show(stages)

    def _show(self, stages: Stages) -> None:
        self._view.show(stages.latest, stages.rates, self._wishes.changes)
        self._pause()

    def _drain(self) -> dict[str, int | None]:
        with ThreadPoolExecutor(len(self._services)) as pool:
            codes = list(pool.map(Service.drain, self._services))
        self._check()
        return {service.command: code for service, code in zip(self._services, codes, strict=True)}

    def _compare(self, mongo: Any, postgres: Any) -> Comparison:
        self._view.doing("comparing every document with its row")
        began = self._clock.monotonic()
        comparison = compare(mongo[DATABASE], postgres)
        self._seconds["comparing"] = self._clock.monotonic() - began
        self._check()
        return comparison

    def _report(
        self, mongo: Any, postgres: Any, probe: Probe, stages: Stages, found: Comparison, codes: dict[str, int | None]
    ) -> Report:
        numbers, last = versions(mongo, postgres), stages.latest
        servers = tuple(
            Server(server.name, TITLES[server.name], numbers[server.name], server.address)
            for server in self._environment.servers
        )
        return Report(
            operations=self._tally.by_operation(),
            transactions=self._tally.transactions,
            probes=probe.sent,
            written=self._tally.total,
            sent=last.sent,
            applied=last.applied,
            dead_letters=last.dead_letters,
            comparison=found,
            latency=probe.latency(),
            seconds=self._seconds,
            exit_codes=codes,
            servers=servers,
            addresses={"mongodb": self._environment.mongodb.uri, "postgresql": self._environment.postgres.dsn},
            kafka_client=kafka_client(),
            folder=self._environment.folder,
        )

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = self._clock.monotonic() + _READY
        while not condition():
            if self._clock.monotonic() > deadline:
                hint = f"the logs are in {self._environment.folder}"
                raise Fatal(f"waited {_READY:.0f} s in vain for {what}", hint, "demo.timeout")
            self._pause()

    def _pause(self) -> None:
        """A step of any wait."""
        self._stop.wait(_STEP)
        self._check()
        for service in self._services:
            service.check()

    def _check(self) -> None:
        if self._stop.is_set():
            self._view.doing("interrupted: stopping everything that was started")
            raise KeyboardInterrupt


