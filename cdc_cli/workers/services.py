"""The two services as the command line runs them: prepare, run in threads under a supervisor, drain at the end.

`prepare` fails fast: a server that cannot be reached within a few seconds of a start is an error to show, while
the same failure later is waited out.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Protocol

from cdc_cli import failpoints
from cdc_cli.brokers import TopicAdmin
from cdc_cli.brokers.aside import Aside
from cdc_cli.checkpoint import TokenStore
from cdc_cli.checkpoint.belonging import Belonging
from cdc_cli.clock import Clock
from cdc_cli.consume import Consumer
from cdc_cli.consume.dead_letters import DeadLetters
from cdc_cli.consume.lag import LagMeter
from cdc_cli.errors import CdcError, Retryable, TryLater
from cdc_cli.events import Mark
from cdc_cli.observe.log import EventLog
from cdc_cli.observe.metrics import Gauge, LabelledGauge
from cdc_cli.publish import Publisher
from cdc_cli.retry import RetryPolicy, Stopped
from cdc_cli.settings.models import RetrySettings
from cdc_cli.workers.checkpointer import Checkpointer
from cdc_cli.workers.gauges import sync_gauges
from cdc_cli.workers.lanes import Lane
from cdc_cli.workers.supervisor import Supervisor
from cdc_cli.workers.sync import Syncer
from cdc_cli.workers.watch import Watcher
from cdc_cli.workers.write import LaneWorker

log = EventLog(__name__)

STARTUP = {"max_attempts": 30, "initial": "200ms", "multiplier": 2, "max_delay": "2s", "give_up_after": "6s"}
"""A start gives up so long after its first failure: a wrong address is a mistake to be told, not an outage to be waited
out. An attempt on a silent server takes up to 10 s, so that the answer is there within 30 s."""
_PURGE_EVERY = 3600.0
_LET_GO_SECONDS = 1.5
_FLUSHING = 0.5
"""The share of the shutdown time for writing what was read; the rest is for saving where we stand, and leaving."""
_STANDBY_EVERY = 1.0
_GRACE = 1.5
"""Seconds for a loop to notice the stop: a wait for changes takes up to one."""


class Service(Protocol):
    """Something that `cdc watch`, `sync` or `run` runs."""

    def prepare(self) -> None:
        """Connect and take what must be held. Blocks at most about 25 s; raises CdcError."""
        ...

    def spawn(self, supervisor: Supervisor) -> None:
        """Start the threads."""
        ...

    def gauges(self) -> Sequence[Gauge | LabelledGauge]:
        """What is measured when somebody asks."""
        ...

    def close(self) -> None:
        """Let go of everything; never raises."""
        ...


class Starter:
    """Runs the steps of a start, each as often as the start may take."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._policy = RetryPolicy(RetrySettings.model_validate(STARTUP), clock)
        self._stop = stop

    def __call__(self, what: str, step: Callable[[], Any]) -> Any:
        return self._policy.run(step, stop=self._stop, what=what)


class WatchService:
    """MongoDB to Kafka."""

    def __init__(
        self,
        watcher: Watcher,
        checkpointer: Checkpointer,
        store: TokenStore,
        publisher: Publisher,
        admin: TopicAdmin,
        topics: Collection[str],
        identify: Callable[[], Belonging],
        filters: str,
        check_siblings: Callable[[bool], None],
        start_from: str,
        standby: bool,
        shutdown_timeout: float,
        starter: Starter,
        stop: threading.Event,
    ) -> None:
        self._standby = standby
        self._watcher = watcher
        self._checkpointer = checkpointer
        self._store = store
        self._publisher = publisher
        self._admin = admin
        self._topics = topics
        self._identify = identify
        self._filters = filters
        self._check_siblings = check_siblings
        self._start_from = start_from
        self._flush_seconds = shutdown_timeout * _FLUSHING
        self._starter = starter
        self._stop = stop
        self._loop_ended = threading.Event()

    def prepare(self) -> None:
        belongs = self._starter("connecting to MongoDB", self._identify)
        self._starter("taking the token store", self._take_store)
        stored = self._starter("loading the resume token", lambda: self._checkpointer.load(belongs, self._filters))
        self._starter("looking for the tokens of other shards", lambda: self._check_siblings(stored is None))
        if stored is None:
            log.warn(
                "token.none",
                "no resume token in %s: starting from %s (watcher.start_from)",
                self._store.describe(),
                self._start_from,
            )
        self._starter("connecting to Kafka", self._publisher.start)
        self._starter("preparing Kafka's topics", lambda: self._admin.ensure(self._topics))
        self._starter("opening the change stream", lambda: self._watcher.open(stored))
        log.info(
            "watch.started",
            "watching %s%s",
            belongs.stream,
            f", resuming after {stored.position.text}" if stored and stored.position else "",
            stream=belongs.stream,
        )

    def _take_store(self) -> None:
        """Become the one watcher; a standby waits as long as another one leads (and takes over when it is gone)."""
        told = ""
        while True:
            try:
                return self._store.acquire()
            except TryLater as held:
                if not self._standby:
                    raise
                if held.message != told:
                    log.info("watch.standing_by", "standing by: %s", held.message)
                told = held.message
            if self._stop.wait(_STANDBY_EVERY):
                raise Stopped("standing by")

    def gauges(self) -> Sequence[Gauge]:
        meaning = "seconds between now and the commit in MongoDB of what is safely in Kafka"
        return [Gauge("cdc_source_lag_seconds", meaning, self._watcher.lag)]

    def spawn(self, supervisor: Supervisor) -> None:
        supervisor.spawn("cdc-token-saver", self._save, may_hang=True)
        supervisor.spawn("cdc-watch", self._run, may_hang=True)

    def close(self) -> None:
        _let_go("the producer", lambda: self._publisher.close(0))
        _let_go("the token store", self._store.release)
        _let_go("the admin client", self._admin.close)

    def _run(self) -> None:
        try:
            self._watcher.run()
            failpoints.hit("watch.before_flush")
            self._watcher.flush(self._flush_seconds)
        finally:
            self._loop_ended.set()

    def _save(self) -> None:
        """Save as long as there is something to save; the last save happens even when the loop hangs."""
        self._checkpointer.run(self._stop)
        self._loop_ended.wait(self._flush_seconds + _GRACE)
        try:
            failpoints.hit("watch.before_last_save")
            mark = self._checkpointer.finish()
        except Retryable as exc:
            log.warn(
                "token.not_saved",
                "the last token could not be saved, the next start repeats some events: %s",
                exc.message,
                code=exc.code,
            )
            return
        at = _place(mark)
        log.info("watch.stopped", "watch has stopped; the saved token stands at %s", at)


def _place(mark: Mark | None) -> str:
    """Where a mark stands, for people."""
    if mark is None:
        return "no place: nothing was saved"
    if mark.position is not None:
        return mark.position.text
    if mark.cluster_time is not None:
        return "cluster time {}.{}".format(*mark.cluster_time)
    return "the start of the stream"


class SyncService:
    """Kafka to PostgreSQL."""

    def __init__(
        self,
        syncer: Syncer,
        consumer: Consumer,
        lanes: Sequence[Lane],
        workers: Sequence[LaneWorker],
        dead_letters: DeadLetters,
        admin: TopicAdmin,
        topics: Collection[str],
        prepare_postgres: Callable[[], None],
        interrupt_postgres: Callable[[], None],
        purge: Callable[[datetime.datetime], int],
        shutdown_timeout: float,
        starter: Starter,
        clock: Clock,
        stop: threading.Event,
        abandon: threading.Event,
        meter: LagMeter,
    ) -> None:
        self._syncer = syncer
        self._consumer = consumer
        self._lanes = lanes
        self._workers = workers
        self._dead_letters = dead_letters
        self._admin = admin
        self._topics = topics
        self._prepare_postgres = prepare_postgres
        self._interrupt_postgres = interrupt_postgres
        self._purge = purge
        self._flush_seconds = shutdown_timeout * _FLUSHING
        self._close_seconds = shutdown_timeout * (1 - _FLUSHING) / 3
        self._starter = starter
        self._clock = clock
        self._stop = stop
        self._abandon = abandon
        self._meter = meter
        self._ended = [threading.Event() for _ in lanes]
        self._loop_ended = threading.Event()
        self._stored = threading.Event()

    def prepare(self) -> None:
        self._starter("connecting to PostgreSQL", self._prepare_postgres)
        self._starter("preparing Kafka's topics", lambda: self._admin.ensure(self._topics))
        self._starter("connecting to Kafka", self._consumer.start)
        log.info("sync.started", "syncing with %d workers", len(self._lanes))

    def gauges(self) -> Sequence[LabelledGauge]:
        return sync_gauges(self._meter)

    def spawn(self, supervisor: Supervisor) -> None:
        for worker, ended in zip(self._workers, self._ended, strict=True):
            work = partial(self._work, worker, ended)
            supervisor.spawn(f"cdc-lane-{worker.number}", work, may_hang=True)
        supervisor.spawn("cdc-committer", self._commit, may_hang=True)
        supervisor.spawn("cdc-tombstones", self._purge_now_and_then, may_hang=True)
        supervisor.spawn("cdc-sync", self._run, may_hang=True)

    def close(self) -> None:
        _let_go("the consumer", lambda: self._consumer.close(1.0))
        _let_go("the dead letters", lambda: self._dead_letters.close(1.0))
        _let_go("the admin client", self._admin.close)

    def _work(self, worker: LaneWorker, ended: threading.Event) -> None:
        try:
            worker.run()
        finally:
            ended.set()

    def _run(self) -> None:
        """The poll thread: consume, and at the end tell Kafka what was stored and leave the group."""
        try:
            self._syncer.run()
        finally:
            self._loop_ended.set()
        self._stored.wait(self._flush_seconds + self._close_seconds)
        self._syncer.leave(self._close_seconds)

    def _commit(self) -> None:
        """The committer: store offsets now and then; at the end flush the lanes and store the last ones."""
        self._syncer.commit(self._stop)
        self._loop_ended.wait(_GRACE)
        failpoints.hit("sync.before_flush")
        flushed = self._flush()
        failpoints.hit("sync.before_last_store")
        self._syncer.store()
        self._stored.set()
        if flushed:
            log.info("sync.stopped", "sync has stopped; everything consumed is written and its offsets are stored")
        else:
            log.warn(
                "sync.stopped",
                "sync has stopped before everything consumed was written; nothing is lost, it is read again",
            )

    def _flush(self) -> bool:
        """Let the lanes write what they hold (requirement R9.3); past the deadline they give up."""
        for lane in self._lanes:
            lane.close()
        end = self._clock.monotonic() + self._flush_seconds
        flushed = all(ended.wait(max(0.0, end - self._clock.monotonic())) for ended in self._ended)
        self._abandon.set()
        if not flushed:
            self._interrupt_postgres()
        return flushed and not any(lane.waiting for lane in self._lanes)

    def _purge_now_and_then(self) -> None:
        while not self._stop.wait(_PURGE_EVERY):
            try:
                now = datetime.datetime.fromtimestamp(self._clock.time(), datetime.UTC)
                log.info("tombstones.purged", "%d old tombstones removed", self._purge(now))
            except CdcError as exc:
                log.warn("tombstones.not_purged", "tombstones could not be purged: %s", exc.message, code=exc.code)


def _let_go(what: str, close: Callable[[], object]) -> None:
    """Close it, but do not wait for a server that does not answer: the process ends without (invariant I8)."""
    try:
        Aside("cdc-close").run(close, _LET_GO_SECONDS)
    except Exception as exc:
        log.debug("shutdown.not_closed", "%s is not closed: %s", what, exc)
