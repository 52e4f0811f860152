"""What each kind of fault does. Every method blocks for the fault's time and returns when it is over."""

from __future__ import annotations

import datetime
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
import redis
from kafka import KafkaAdminClient, KafkaConsumer
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.faults.longrun.evidence import Moments
from tests.faults.longrun.fleet import Fleet
from tests.faults.longrun.plan import NETWORK, Fault
from tests.faults.longrun.site import LEASE, NAME, Site
from tests.faults.longrun.tokens import TokenPlace
from tests.faults.longrun.writers import COMPARED
from tests.support.rows import connection

GROUP = f"cdc-sync-{NAME}"
_WATCHES = ("watch 1", "watch 2")
_SYNCS = ("sync 1", "sync 2")
_THIRD = "sync 3"
_MOST_PARTITIONS = 12
_POSITION_LOST, _TRY_LATER = 80, 75
_BEFORE = 3.0
"""Seconds before the lost token's time to go on from; an operator takes more."""


class Injector:
    """Injects faults; may be called from several threads, one fault per target at a time."""

    def __init__(self, site: Site, fleet: Fleet, moments: Moments, topics: list[str], token: TokenPlace) -> None:
        self._site = site
        self._fleet = fleet
        self._moments = moments
        self._topics = topics
        self._token = token
        self.added_partitions = 0
        self._looking = threading.Lock()
        self._kinds: dict[str, Callable[[Fault], None]] = {
            "kill watch": self._kill_watch,
            "kill sync": self._kill_sync,
            "kill both syncs": self._kill_both_syncs,
            "kill everything": self._kill_everything,
            "stop watch": lambda fault: self._fleet.stop(self._fleet.leader(), fault.seconds),
            "stop sync": lambda fault: self._fleet.stop(fault.variant, fault.seconds),
            "term watch": lambda fault: self._terminate(self._fleet.leader(), fault.seconds),
            "term sync": lambda fault: self._terminate(fault.variant, fault.seconds),
            "step down": self._step_down,
            "kill mongod": lambda fault: self._restart("mongodb", self._site.mongo, fault),
            "kill broker": lambda fault: self._restart("kafka", self._site.kafka, fault),
            "kill postgres": lambda fault: self._restart("postgres", self._site.postgres, fault),
            "kill redis": lambda fault: self._restart("redis", self._site.valkey, fault),
            "stop postgres": self._stop_postgres,
            "terminate backends": self._terminate_backends,
            "lock table": self._lock_table,
            "read only": self._read_only,
            "pause redis": self._pause_redis,
            "fill redis": self._fill_redis,
            "rebalance storm": self._rebalance_storm,
            "churn": self._churn,
            "add partitions": self._add_partitions,
            "lose token": self._lose_token,
        }

    def inject(self, fault: Fault) -> None:
        """Blocks until the fault is over."""
        if fault.kind in NETWORK:
            self._network(fault)
        else:
            self._kinds[fault.kind](fault)

    def look(self, token: bool = True, offsets: bool = True) -> None:
        """Take a moment for the judges."""
        with self._looking:
            if token:
                self._moments.of_token()
            if offsets:
                self._moments.of_offsets(self._site.dsn, GROUP, COMPARED)

    def _kill_watch(self, fault: Fault) -> None:
        name = self._fleet.leader()
        self._fleet.kill(name)
        self.look(offsets=False)
        time.sleep(fault.seconds)
        self._fleet.start(name)

    def _kill_sync(self, fault: Fault) -> None:
        self._fleet.kill(fault.variant)
        self.look(token=False)
        time.sleep(fault.seconds)
        self._fleet.start(fault.variant)

    def _kill_both_syncs(self, fault: Fault) -> None:
        for name in _SYNCS:
            self._fleet.kill(name)
        self.look(token=False)
        time.sleep(fault.seconds)
        for name in _SYNCS:
            self._fleet.start(name)

    def _kill_everything(self, fault: Fault) -> None:
        names = list(self._fleet.processes)
        for name in names:
            self._fleet.kill(name)
        self.look()
        time.sleep(fault.seconds)
        for name in names:
            self._fleet.start(name)

    def _terminate(self, name: str, seconds: float) -> None:
        self._fleet.terminate(name)
        time.sleep(seconds)
        self._fleet.start(name)

    def _restart(self, link: str, server: Any, fault: Fault) -> None:
        with self._site.locks[link]:
            server.kill()
            time.sleep(fault.seconds)
            server.start()

    def _stop_postgres(self, fault: Fault) -> None:
        with self._site.locks["postgres"]:
            self._site.postgres.stop_immediately()
            time.sleep(fault.seconds)
            self._site.postgres.start()

    def _step_down(self, fault: Fault) -> None:
        command = {"replSetStepDown": 2, "secondaryCatchUpPeriodSecs": 0, "force": True}
        with self._site.locks["mongodb"], MongoClient[dict[str, Any]](self._site.mongo.direct_uri()) as client:
            with suppress(PyMongoError):
                client.admin.command(command)
            end = time.monotonic() + 30
            while not client.admin.command("hello")["isWritablePrimary"] and time.monotonic() < end:
                time.sleep(0.1)
        time.sleep(fault.seconds)

    def _terminate_backends(self, fault: Fault) -> None:
        sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'cdc:%'"
        end = time.monotonic() + fault.seconds
        with connection(self._site.dsn) as opened, opened.cursor() as cursor:
            while True:
                cursor.execute(sql)
                if time.monotonic() >= end:
                    return
                time.sleep(0.2)

    def _lock_table(self, fault: Fault) -> None:
        with connection(self._site.dsn) as opened, opened.cursor() as cursor:
            cursor.execute("BEGIN; SET LOCAL lock_timeout = '4s'")
            with suppress(psycopg2.Error):
                cursor.execute("LOCK TABLE public.players IN ACCESS EXCLUSIVE MODE")
                time.sleep(fault.seconds)
            cursor.execute("ROLLBACK")

    def _read_only(self, fault: Fault) -> None:
        change = "ALTER SYSTEM SET default_transaction_read_only = {}"
        with connection(self._site.dsn) as opened, opened.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            try:
                cursor.execute(change.format("on"))
                cursor.execute("SELECT pg_reload_conf()")
                time.sleep(fault.seconds)
            finally:
                cursor.execute(change.format("off"))
                cursor.execute("SELECT pg_reload_conf()")

    def _pause_redis(self, fault: Fault) -> None:
        with self._redis() as client:
            client.client_pause(int(fault.seconds * 1000))
        time.sleep(fault.seconds)

    def _fill_redis(self, fault: Fault) -> None:
        """Writes are refused for lack of memory, as on a full disk; reads go on."""
        with self._redis() as client:
            client.config_set("maxmemory", "1")
            try:
                time.sleep(fault.seconds)
            finally:
                client.config_set("maxmemory", "0")

    @contextmanager
    def _redis(self) -> Iterator[Any]:
        with redis.Redis.from_url(self._site.valkey.url, socket_timeout=30) as client:
            yield client

    def _rebalance_storm(self, fault: Fault) -> None:
        """A stranger joins the group and leaves it, again and again; what it is given meanwhile nobody reads."""
        rng = random.Random(f"storm/{fault.amount}")
        end = time.monotonic() + fault.seconds
        while time.monotonic() < end:
            stranger = KafkaConsumer(
                *self._topics,
                bootstrap_servers=self._site.kafka.bootstrap,
                group_id=GROUP,
                enable_auto_commit=False,
                session_timeout_ms=6000,
                heartbeat_interval_ms=500,
                allow_auto_create_topics=False,
            )
            try:
                leaves = time.monotonic() + rng.uniform(0.5, 2.5)
                while time.monotonic() < leaves:
                    stranger.poll(timeout_ms=200)
            finally:
                stranger.close(autocommit=False)

    def _churn(self, fault: Fault) -> None:
        """A third sync joins, works for a while, and leaves in good order or not."""
        self._fleet.start(_THIRD, tended=False)
        time.sleep(fault.seconds)
        leave = self._fleet.kill if fault.variant == "kill" else self._fleet.terminate
        leave(_THIRD)
        self._fleet.dismiss(_THIRD)

    def _add_partitions(self, fault: Fault) -> None:
        """Keys move to other partitions from the watcher's next start on, while their older records are unread."""
        topic = self._topics[fault.amount % len(self._topics)]
        with KafkaConsumer(bootstrap_servers=self._site.kafka.bootstrap) as looking:
            now = len(looking.partitions_for_topic(topic) or ())
        if not 0 < now < _MOST_PARTITIONS:
            return
        admin = KafkaAdminClient(bootstrap_servers=self._site.kafka.bootstrap)
        try:
            admin.create_partitions({topic: now + 2})
            self.added_partitions += 2
        finally:
            admin.close()

    def _lose_token(self, fault: Fault) -> None:
        """No watcher runs, the token is deleted: the next one must refuse to start, until an operator says from when.

        With every trace of a token gone it must say so and start at watcher.start_from, `oldest` here.
        """
        for name in _WATCHES:
            self._fleet.kill(name)
        self.look(offsets=False)
        position = self._token.position()
        everything = fault.variant != "the token" or position is None
        self._token.lose(everything)
        time.sleep(fault.seconds)
        if position is not None and not everything:
            refused = self._fleet.start(_WATCHES[0], tended=False)
            code = refused.wait(30)
            assert code == _POSITION_LOST and "token.vanished" in refused.text(), f"{refused} ended with {code}"
            self._go_on_from(int(position.partition(".")[0]) - _BEFORE)
        started = [self._fleet.start(name) for name in _WATCHES]
        if everything:
            end = time.monotonic() + 30
            while not any(process.logged("token.none") for process in started):
                assert time.monotonic() < end, "no watcher says that it has no token"
                time.sleep(0.1)

    def _go_on_from(self, seconds: float) -> None:
        """The documented way out; the lease of a watcher that was killed may have to run out first."""
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
        end = time.monotonic() + LEASE + 10
        while True:
            ended = self._fleet.run("token", "reset", "--to-datetime", moment, "--yes", "--reason", "it was lost")
            if ended.code == 0:
                return
            assert ended.code == _TRY_LATER and time.monotonic() < end, f"token reset: {ended.code} {ended.stderr}"
            time.sleep(0.5)

    def _network(self, fault: Fault) -> None:
        proxy = self._site.proxies[fault.target]
        direction: Any = fault.direction or "both"
        actions: dict[str, Callable[[], None]] = {
            "cut": proxy.cut,
            "reset": proxy.reset,
            "refuse": proxy.refuse,
            "blackhole": lambda: proxy.blackhole(direction),
            "latency": lambda: proxy.latency(fault.amount / 1000, direction),
            "throttle": lambda: proxy.throttle(fault.amount, direction),
            "slice": lambda: proxy.slice(fault.amount, direction),
            "drop after": lambda: proxy.drop_after(fault.amount, direction),
        }
        actions[fault.kind]()
        if fault.kind == "refuse":
            proxy.reset()
        time.sleep(fault.seconds)
        proxy.heal()
