"""Every failpoint x {kill, raise, fail, hang}, each in a process of its own on real servers, and what is left after.

`python -m tests.faults.crash_matrix [names]` runs all cases (or those whose name contains one of the words) one after
another on one pipeline: a process is started with the failpoint, changes are made until it strikes, the process is
started again without it, and then every row must equal its document. Right after each strike the token and the
offsets are noted; in the end they are judged against the whole log, as is the order of each document's changes.

`hang` is followed by SIGTERM: the process has to end within its deadline in that state too (I8).
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cdc_cli.failpoints import POINTS, VARIABLE
from tests.faults.longrun.evidence import (
    Moments,
    events_of,
    never_sent,
    offsets_ahead,
    out_of_order,
    token_ahead,
)
from tests.faults.longrun.poison import Poison
from tests.faults.longrun.site import DRAIN_SECONDS, NAME, Site
from tests.faults.longrun.tokens import InRedis
from tests.faults.longrun.writers import COMPARED
from tests.support.cdc_process import CdcProcess
from tests.support.pipeline import Pipeline
from tests.support.topics import Topics
from tests.support.witness import Witness
from tests.support.workload import HOT, _Writer

GROUP = f"cdc-sync-{NAME}"
ACTIONS = ("kill", "raise", "fail", "hang")
AT_START = frozenset({"sync.after_claim", "sync.before_seek"})
AT_STOP = frozenset({"watch.before_flush", "watch.before_last_save", "sync.before_flush", "sync.before_last_store"})
ON_POISON = frozenset({"dead_letter.before_publish", "dead_letter.after_publish"})
_WATCH = ("capture.", "publish.", "token.", "token_file.", "token_redis.", "watch.")
_STRIKES_WITHIN = 25.0
_STEPS = 6
_CODES = {"kill": {-signal.SIGKILL}, "raise": {70}, "hang": {0, 70}, "fail": {0, 69}}


class Case(NamedTuple):
    """One cell of the matrix."""

    point: str
    action: str

    @property
    def command(self) -> str:
        return "watch" if self.point.startswith(_WATCH) else "sync"

    @property
    def store(self) -> str:
        return "redis" if self.point.startswith("token_redis.") else "file"

    @property
    def nth(self) -> int:
        """Not the first time, where there is a second: something is done by then."""
        return 1 if self.point in AT_START | AT_STOP | ON_POISON else 2

    def __str__(self) -> str:
        return f"{self.point}:{self.action}@{self.nth}"


def all_cases() -> list[Case]:
    return [Case(point, action) for point in sorted(POINTS) for action in ACTIONS]


@dataclass
class Report:
    """What came of it; a case that is in `failures` did not pass."""

    struck: list[Case] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def table(self, asked: int) -> str:
        points = {case.point for case in self.struck}
        lines = [f"cases: {len(self.struck)} struck of {asked}; failpoints hit: {len(points)} of {len(POINTS)}"]
        lines += [f"FAILED {name}: {why}" for name, why in self.failures.items()]
        return "\n".join(lines)


class Matrix:
    """Runs cases on one site; `folder` gets configurations and logs."""

    def __init__(self, site: Site, topics: Topics, folder: Path, say: Callable[[str], object]) -> None:
        self._site = site
        self._topics = topics
        self._say = say
        config = site.config("kafka-python")
        config["syncer"]["workers"] = 2
        config["syncer"]["batch"] = {"max_wait": "50ms", "max_rows": 50}
        config["watcher"]["shutdown_timeout"] = config["syncer"]["shutdown_timeout"] = "4s"
        config["token_store"]["file"] = {"path": str(folder / "state" / "token.json")}
        self._pipeline = Pipeline(NAME, folder, site.database, site.dsn, config)
        self._store = "redis"
        names = [self._pipeline.topic(name) for name in COMPARED]
        self._moments = Moments(folder, topics, names, self._token)
        self._owners: list[tuple[str, str]] = []
        self._poison = Poison(site.kafka.bootstrap, self._pipeline.topic(HOT))
        self._others: dict[str, CdcProcess] = {}
        self._witness = Witness(site.database)
        client = site.database.client
        self._writer = _Writer(client, site.database, 10**9, 0, random.Random(7))
        self._steps = self._writer.batches()
        self.report = Report()

    def run(self, cases: Sequence[Case]) -> Report:
        """All of them, watchers first, then what they left is judged."""
        try:
            self._switch("file")
            for case in sorted(cases, key=lambda case: (case.store, case.command)):
                began = time.monotonic()
                try:
                    self._run(case)
                except AssertionError as error:
                    self.report.failures[str(case)] = str(error)[:1500]
                    self._clean_up()
                self.report.seconds[str(case)] = time.monotonic() - began
                self._say(f"{'FAILED' if str(case) in self.report.failures else 'ok':6} {case} "
                          f"{self.report.seconds[str(case)]:.1f} s")  # fmt: skip
            self._stop_others()
            self._judge()
        finally:
            self._pipeline.close()
        return self.report

    def _run(self, case: Case) -> None:
        self._switch(case.store)
        other = "sync" if case.command == "watch" else "watch"
        self._keep(other)
        self._let_go(case.command)
        process = self._pipeline.start(case.command, ready=False, env={VARIABLE: str(case)})
        if case.point not in AT_START:
            process.wait_for("watch.started" if case.command == "watch" else "sync.started", timeout=40)
        self._strike(case, process)
        self.report.struck.append(case)
        self._look(case)
        if case.action == "fail" and case.point not in AT_STOP:
            self._write()
            self._in_sync(process)
            self._others[case.command] = process
            return
        if case.action == "hang" and case.point not in AT_STOP:
            process.send(signal.SIGTERM)
        code = process.wait(timeout=4 + DRAIN_SECONDS)
        assert code in _CODES[case.action], f"exit code {code} after {case.action}\n{process.tail(6)}"
        self._look(case)
        self._keep(case.command)
        self._write()
        self._in_sync(self._others[case.command])

    def _strike(self, case: Case, process: CdcProcess) -> None:
        """Make changes until the failpoint is passed often enough."""
        sign = f"failpoint {case.point} {case.action}"
        end = time.monotonic() + _STRIKES_WITHIN
        asked = False
        while sign not in process.text():
            assert time.monotonic() < end, f"not struck within {_STRIKES_WITHIN:g} s\n{process.tail(6)}"
            assert process.exit_code in (None, -signal.SIGKILL), f"ended with {process.exit_code}\n{process.tail(6)}"
            self._write(1)
            if case.point in ON_POISON:
                self._poison.plant_now()
            if case.point in AT_STOP and not asked:
                process.send(signal.SIGTERM)
                asked = True
            time.sleep(0.15)

    def _write(self, steps: int = _STEPS) -> None:
        for _ in range(steps):
            next(self._steps, None)

    def _look(self, case: Case) -> None:
        self._owners.append((str(case), "token" if case.command == "watch" else "offsets"))
        before = len(self._moments.tokens), len(self._moments.offsets)
        if case.command == "watch":
            self._moments.of_token()
        else:
            self._moments.of_offsets(self._site.dsn, GROUP, COMPARED)
        if (len(self._moments.tokens), len(self._moments.offsets)) == before:
            self._owners.pop()

    def _in_sync(self, *processes: CdcProcess) -> None:
        self._pipeline.wait_in_sync(*processes, timeout=45, collections=COMPARED)

    def _keep(self, command: str) -> None:
        """A process without failpoints."""
        process = self._others.get(command)
        if process is None or process.exit_code is not None:
            self._others[command] = self._pipeline.start(command)

    def _let_go(self, command: str) -> None:
        process = self._others.pop(command, None)
        if process is not None and process.exit_code is None:
            code = process.stop()
            assert code == 0, f"{process} ended with {code} at SIGTERM\n{process.tail(6)}"

    def _stop_others(self) -> None:
        for command in ("watch", "sync"):
            try:
                self._let_go(command)
            except AssertionError as error:
                self.report.failures["the end"] = str(error)

    def _clean_up(self) -> None:
        """After a failed case: nothing of it may disturb the next one."""
        self._others.clear()
        self._pipeline.close()
        with suppress(AssertionError):
            for command in ("watch", "sync"):
                self._keep(command)

    def _switch(self, store: str) -> None:
        """To another token store, with its own token: the stream is followed by the time in the oplog."""
        if store != self._store:
            self._let_go("watch")
            self._store = store
            self._pipeline.set("token_store.backend", store)

    def _token(self) -> str | None:
        if self._store == "redis":
            return InRedis(self._site.valkey.url, self._site.redis_prefix).position()
        token = self._pipeline.token()
        return token["position"] if token is not None else None

    def _judge(self) -> None:
        names = [self._pipeline.topic(name) for name in COMPARED]
        records = [r for r in self._topics.read(names) if not (r.key or b"").startswith(b"poison-")]
        events = events_of(records)
        changes = [change for change in self._witness.changes() if change.collection in COMPARED]
        self._expect("changes never reached Kafka", never_sent(changes, events))
        self._expect("records out of order", out_of_order(changes, events))
        tokens, offsets = iter(self._moments.tokens), iter(self._moments.offsets)
        for owner, kind in self._owners:
            if kind == "token":
                self._expect(f"{owner}: token ahead of Kafka", token_ahead(next(tokens), changes, events))
            else:
                self._expect(f"{owner}: offsets ahead of PostgreSQL", offsets_ahead(next(offsets), events))
        buried = {(r.key or b"").decode() for r in self._topics.read([self._pipeline.dead_letter_topic])}
        self._expect("planted records not buried", [key for key in self._poison.planted if key not in buried])

    def _expect(self, what: str, found: Sequence[Any]) -> None:
        if found:
            self.report.failures[what] = f"{len(found)}: {found[:3]}"


def main() -> int:
    """0 = every case passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crash_matrix", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the cases whose name contains one of these")
    words = parser.parse_args().words
    cases = [case for case in all_cases() if not words or any(word in str(case) for word in words)]
    folder = Path(tempfile.mkdtemp(prefix="cdc-matrix-"))
    folder.chmod(0o755)
    began = time.monotonic()
    with Site(folder) as site, Topics(site.kafka.bootstrap) as topics:
        report = Matrix(site, topics, folder, lambda line: print(line, flush=True)).run(cases)
    print(f"\n{report.table(len(cases))}\n{time.monotonic() - began:.0f} s")
    if report.failures:
        print(f"logs and data: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
