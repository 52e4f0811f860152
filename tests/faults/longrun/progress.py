"""Whether the pipeline moves: what is written now are soon rows, and at a quiet moment everything is equal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pymongo import UpdateOne, WriteConcern
from pymongo.errors import PyMongoError

from cdc_cli.demo.servers.process import wait_until
from tests.faults.longrun.fleet import Fleet
from tests.faults.longrun.site import Site
from tests.faults.longrun.writers import COMPARED, PROBES, Writers
from tests.support.compare import Difference
from tests.support.pipeline import Pipeline
from tests.support.rows import query

RECOVER_WITHIN = 90.0
"""Seconds from the heal to new changes in PostgreSQL; a group whose member is gone waits for its session first."""
_PROBES = 8
"""Changes that have to arrive: enough for most partitions of their topic, so that no half of the group is forgotten."""


@dataclass(frozen=True)
class Progress:
    """Looks past the proxies; while it waits, processes that ended are started again."""

    site: Site
    fleet: Fleet
    writers: Writers
    pipeline: Pipeline

    def seconds_to_recover(self) -> float | None:
        """From now until some changes that are made now are all rows; None = they never were."""
        began = time.monotonic()
        ids = [f"probe {began} {number}" for number in range(_PROBES)]
        upserts = [UpdateOne({"_id": id_}, {"$set": {"seen": True}}, upsert=True) for id_ in ids]

        def written() -> bool:
            try:
                probes = self.writers.database.get_collection(PROBES, write_concern=WriteConcern("majority"))
                probes.bulk_write(upserts)
                return True
            except PyMongoError:
                return False

        def arrived() -> bool:
            self._tend()
            try:
                sql = f"SELECT count(*) FROM public.{PROBES} WHERE _id = ANY(%s)"
                return query(self.site.dsn, sql, ids) == [(_PROBES,)]
            except Exception:
                return False
            finally:
                time.sleep(0.05)

        if wait_until(written, 60) and wait_until(arrived, RECOVER_WITHIN):
            return time.monotonic() - began
        return None

    def differences(self) -> list[Difference]:
        """What PostgreSQL has otherwise than MongoDB when it has had time enough; empty as soon as they are equal."""
        found: list[Difference] = []

        def equal() -> bool:
            self._tend()
            found[:] = self.pipeline.differences(*COMPARED)
            if found:
                time.sleep(0.2)
            return not found

        wait_until(equal, RECOVER_WITHIN)
        return found

    def at_rest(self, work: Callable[[], None]) -> None:
        """Do it while no writer writes."""
        self.writers.pause()
        try:
            work()
        finally:
            self.writers.go_on()

    def documents(self) -> int:
        """How many there are to be compared."""
        return sum(self.site.database[name].count_documents({}) for name in COMPARED)

    def _tend(self) -> None:
        self.fleet.tend()
        self.fleet.measure()
