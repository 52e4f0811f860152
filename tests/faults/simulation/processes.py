"""`cdc watch` and `cdc sync` as they are wired, on simulated servers: real services, loops, trackers, lanes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from cdc_cli.apply.claims import Claims
from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.records import EnvelopeMapper
from cdc_cli.capture.mongo import MongoCapture
from cdc_cli.capture.start import Start
from cdc_cli.checkpoint import Writer
from cdc_cli.checkpoint.belonging import Belonging
from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.consume import Partition
from cdc_cli.consume.dead_letters import DeadLetters
from cdc_cli.consume.lag import LagMeter
from cdc_cli.consume.offsets import Offsets
from cdc_cli.envelope import Encoder, codec_options
from cdc_cli.errors import CdcError
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import Health
from cdc_cli.retry import RetryPolicy, Stopped
from cdc_cli.settings.models import MongoSettings, RetrySettings
from cdc_cli.workers.backpressure import Buffer
from cdc_cli.workers.checkpointer import Checkpointer
from cdc_cli.workers.forward import Forwarder
from cdc_cli.workers.lanes import Lane
from cdc_cli.workers.services import Service, Starter, SyncService, WatchService
from cdc_cli.workers.supervisor import Supervisor
from cdc_cli.workers.sync import Syncer
from cdc_cli.workers.watch import Bounds, Watcher
from cdc_cli.workers.write import LaneWorker
from tests.faults.simulation.database import SimApplier, SimLedger
from tests.faults.simulation.group import SimConsumer
from tests.faults.simulation.log import DEAD_LETTERS, SimPublisher
from tests.faults.simulation.scheduler import Process
from tests.faults.simulation.source import COLLECTIONS, DATABASE, SimClient, decode_planted
from tests.faults.simulation.threads import Event
from tests.faults.simulation.tokens import SimTokenStore

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

SHUTDOWN = 10.0
"""Seconds for a shutdown, as configured."""
_MONGODB = MongoSettings(uri="mongodb://simulated", database=DATABASE, collections=list(COLLECTIONS))  # type: ignore[arg-type]
_WAITS: Any = {"initial": "20ms", "max_delay": "500ms", "give_up_after": "1h"}
_BELONGING = Belonging(f"database {DATABASE}", "fingerprint", "rs0", "cluster")


class Life:
    """One process from its start to its end, by `number`."""

    def __init__(self, world: World, service: str, number: int) -> None:
        self.world = world
        self.service = service
        self.number = number
        self.process = Process(world.scheduler, f"{service}{number}")
        self.stop = Event(world.scheduler)
        self.counters = Counters()
        self.error: BaseException | None = None
        self.has_ended = False
        self.is_prepared = False
        self.stop_at: float | None = None
        self._loops = 0
        self._policy = RetryPolicy(_retry(world), world.scheduler, world.draw.random)
        self.in_flight: Callable[[], tuple[int, int]] = lambda: (0, 0)
        build = self._watch if service == "watch" else self._sync
        self._service = build()
        self.process.spawn("main", self._main)

    @property
    def is_over(self) -> bool:
        """Ended or killed."""
        return self.has_ended or self.process.is_dead

    def spawn(self, name: str, work: Callable[[], None], **_: bool) -> None:
        """A thread, as `Supervisor.spawn` starts it: its end is everybody's end."""
        self._loops += 1

        def guarded() -> None:
            try:
                work()
            except Stopped:
                pass
            except Exception as error:
                self.error = self.error or error
            self._loops -= 1
            self.stop.set()

        self.process.spawn(name, guarded)

    def terminate(self) -> None:
        """SIGTERM."""
        self.stop.set()

    def _main(self) -> None:
        try:
            self._service.prepare()
            self._service.spawn(cast(Supervisor, self))
            self.is_prepared = True
            self.stop.wait()
            self.stop_at = self.world.scheduler.now
            while self._loops and self.world.scheduler.now < self.stop_at + SHUTDOWN:
                self.world.scheduler.sleep(0.1)
        except Stopped:
            pass
        except Exception as error:
            self.error = error
        self.process.check()
        self._service.close()
        self.has_ended = True
        if self._loops:
            self.world.note(f"{self.process.name} leaves {self._loops} threads behind")
            self.process.kill()

    def _start(self, what: str, step: Callable[[], Any]) -> Any:
        return self._policy.run(step, stop=cast(Any, self.stop), what=what)

    def _watch(self) -> Service:
        world, clock, process = self.world, self.world.scheduler, self.process
        tracker = Tracker()
        store = SimTokenStore(world, process, self.number)
        publisher = SimPublisher(world, process, self.number)
        checkpointer = Checkpointer(
            store,
            tracker,
            Writer("here", self.number, "0"),
            self._policy.backoff("saving the resume token"),
            5.0,
            3.0,
            self.counters,
            clock,
        )
        forwarder = Forwarder(
            publisher, tracker, Encoder(), _topic_of, _Topics(), DEAD_LETTERS, False, self.counters, clock
        )
        client = cast(Any, SimClient(world, process))
        bounds = Bounds(world.plan.in_flight, 1 << 20, 3.0)
        watcher = Watcher(
            MongoCapture(client, _MONGODB, Start(world.plan.start_from), codec_options(), decode_planted),
            publisher,
            tracker,
            forwarder,
            checkpointer,
            self._policy.backoff,
            bounds,
            False,
            self.counters,
            Health(clock),
            clock,
            cast(Any, self.stop),
        )
        self.in_flight = lambda: (tracker.in_flight, bounds.events + 1)
        return WatchService(
            watcher,
            checkpointer,
            store,
            publisher,
            _Topics(),
            (),
            lambda: _BELONGING,
            "",
            lambda is_first_start: None,
            world.plan.start_from,
            False,
            SHUTDOWN,
            cast(Starter, self._start),
            cast(Any, self.stop),
        )

    def _sync(self) -> Service:
        world, clock, process, plan = self.world, self.world.scheduler, self.process, self.world.plan
        owner, abandon, claims = process.name, cast(Any, Event(world.scheduler)), Claims()
        lanes = [Lane(number, plan.batch_rows, 0.5, clock) for number in range(plan.lanes)]
        consumer = SimConsumer(world, process, process.name)
        dead_letters = DeadLetters(
            SimPublisher(world, process, self.number),
            DEAD_LETTERS,
            1.0,
            False,
            self._policy.backoff("publishing dead letters"),
            clock,
        )
        syncer = Syncer(
            consumer,
            lanes,
            Offsets(len(lanes)),
            SimLedger(world, process, owner, claims),
            _Topics().ids,
            self._policy.backoff("reading from Kafka"),
            Buffer(plan.buffered, 1 << 20),
            self.counters,
            Health(clock),
            clock,
            cast(Any, self.stop),
        )
        applier = SimApplier(world, process, owner, claims)
        workers = [
            LaneWorker(
                lane,
                EnvelopeMapper(Mapper()),
                applier,
                dead_letters,
                self._policy.backoff("writing to PostgreSQL"),
                self.counters,
                clock,
                abandon,
                syncer.fenced,
            )
            for lane in lanes
        ]
        self.in_flight = lambda: (syncer.buffered, plan.buffered + 100 * plan.partitions * len(COLLECTIONS))
        return SyncService(
            syncer,
            consumer,
            lanes,
            workers,
            dead_letters,
            _Topics(),
            (),
            lambda: None,
            lambda: None,
            lambda _: 0,
            SHUTDOWN,
            cast(Starter, self._start),
            clock,
            cast(Any, self.stop),
            abandon,
            LagMeter(Offsets(len(lanes)), clock),
        )


class _Topics:
    """Implements TopicAdmin: they are there."""

    def ensure(self, topics: Collection[str]) -> None:
        return None

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        return {topic: f"{topic}'s id" for topic in topics}

    def names(self) -> frozenset[str]:
        return frozenset(_topic_of(DATABASE, collection) for collection in COLLECTIONS)

    def close(self) -> None:
        return None


def _topic_of(database: str, collection: str) -> str:
    return f"cdc.{database}.{collection}"


def topic_partitions(count: int) -> list[Partition]:
    """All partitions that syncers read."""
    return [Partition(_topic_of(DATABASE, name), number) for name in COLLECTIONS for number in range(count)]


def is_expected(error: BaseException | None) -> bool:
    """Whether a process may end like that: an error of ours with a reason, and no defect of the program."""
    return error is None or (isinstance(error, CdcError) and error.code not in ("error", "fatal"))


def _retry(world: World) -> RetrySettings:
    return RetrySettings(max_attempts=world.plan.attempts, **_WAITS)


