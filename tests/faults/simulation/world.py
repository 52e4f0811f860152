"""One run: servers that survive, processes that do not, an operator who starts them again, and faults from the plan.

Two phases. While the faults are on, only safety is asked: whatever happens, no durable state runs ahead. Then they
stop, and everything has to arrive.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cdc_cli.consume import Partition
from cdc_cli.errors import CdcError, ExitCode
from tests.faults.history import Counted, Happening, Overdue, TokenSaved, Unbounded
from tests.faults.invariants import Violation, judge
from tests.faults.simulation import tokens
from tests.faults.simulation.database import Database
from tests.faults.simulation.group import Group
from tests.faults.simulation.log import Log, Record
from tests.faults.simulation.plan import Plan
from tests.faults.simulation.processes import Life, is_expected, topic_partitions
from tests.faults.simulation.scheduler import OutOfSteps, Process, Scheduler
from tests.faults.simulation.source import Source, index_of

_MAX_STEPS = 150_000
_DRAIN = 400.0
"""Seconds of virtual time in which everything has to arrive once the faults have stopped."""


@dataclass(slots=True)
class Outcome:
    """What became of a schedule."""

    plan: Plan
    violations: list[Violation]
    history: list[Happening]
    trace: list[str]
    steps: int
    seconds: float
    faults: Mapping[str, int] = field(default_factory=dict)


class World:
    """Everything of one run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scheduler = Scheduler(plan.seed, _MAX_STEPS)
        self.draw = random.Random(f"{plan.seed} draw")
        self._dice = {kind: random.Random(f"{plan.seed} {kind}") for kind in plan.faults}
        self.history: list[Happening] = []
        self.trace: list[str] = []
        self.faults: dict[str, int] = {}
        self.is_calm = False
        self.source = Source(self)
        self.log = Log(self)
        self.group = Group(self)
        self.database = Database(self)
        self.shelf = tokens.Shelf()
        self.lives: list[Life] = []
        self._started = 0
        self._outside = Process(self.scheduler, "outside")
        self._writing_done = False

    # What the servers ask.

    def record(self, item: Happening) -> None:
        self.history.append(item)

    def note(self, text: str) -> None:
        self.trace.append(f"{self.scheduler.now:8.3f} [{len(self.history)}] {text}")

    def happens(self, kind: str, chance: float) -> bool:
        """Whether the fault strikes now; noted when it does."""
        dice = self._dice.get(kind)
        if dice is None or self.is_calm or dice.random() >= chance * self.plan.faults[kind]:
            return False
        self.faults[kind] = self.faults.get(kind, 0) + 1
        current = self.scheduler.current
        self.note(f"{kind}{f' for {current.name}' if current else ''}")
        return True

    def latency(self, kind: str, chance: float = 0.03) -> float:
        """Seconds that an answer takes: mostly little, sometimes long, longer than any time-out while `kind` is on."""
        usual = 0.03 * self.draw.random() ** 3 + 0.001
        return usual + 8 * self.draw.random() if self.happens(kind, chance) else usual

    def plant(self, kinds: Collection[str]) -> str | None:
        return next((kind for kind in kinds if self.happens(f"planted.{kind}", 0.06)), None)

    def crash_point(self, process: Process, where: str, chance: float = 0.004) -> None:
        """SIGKILL right here, now and then."""
        if self.happens("watch.killed" if process.name.startswith("watch") else "sync.killed", chance):
            self.note(f"{process.name} is killed {where}")
            process.kill()

    def topic_partitions(self) -> list[Partition]:
        return topic_partitions(self.plan.partitions)

    def first_repeated(self, index: int) -> int:
        """A token that cannot be used gives way to its cluster time: its whole transaction may be read again."""
        if not 0 <= index < len(self.source.oplog):
            return index
        time = self.source.oplog[index].time
        return next(entry.index for entry in self.source.oplog if entry.time >= time) - 1

    # The run.

    def run(self) -> Outcome:
        drained = False
        try:
            self._outside.spawn("operator", self._operate)
            self.scheduler.run(self._is_watching, 120.0)
            self._outside.spawn("writer", self._write)
            self._outside.spawn("saboteur", self._sabotage)
            self.scheduler.run(lambda: self._writing_done, 600.0)
            self._calm()
            drained = self._drain()
            self._end()
        except OutOfSteps as error:
            self.record(Overdue(f"the run spins: {error}", self.scheduler.now))
        finally:
            self._outside.is_dead = True
            for life in self.lives:
                life.process.is_dead = True
        violations = judge(self.history, drained)
        if not drained:
            violations.append(Violation("I8", len(self.history), f"not drained: {self._state()}"))
        return Outcome(
            self.plan, violations, self.history, self.trace, self.scheduler.steps, self.scheduler.now, self.faults
        )

    def _is_watching(self) -> bool:
        return any(isinstance(item, TokenSaved) for item in self.history)

    def _calm(self) -> None:
        self.note("the faults stop")
        self.is_calm = True
        self.log.down_until = 0.0

    def _drain(self) -> bool:
        """Everything arrives and is told; then the counters must add up."""
        if not self.scheduler.run(self._is_drained, _DRAIN):
            return False
        thawed = max((life.process.stalled_until - self.scheduler.now for life in self.lives), default=0.0)
        self.scheduler.run(lambda: False, max(0.0, thawed) + 3.0)
        before = None
        while before != (now := self._counters()):
            before = now
            self.scheduler.run(lambda: False, 3.0)
        for counted in now:
            self.record(counted)
        return True

    def _counters(self) -> list[Counted]:
        lives = [life for life in self.lives if not life.is_over]
        return [Counted(life.number, life.service, _events(life.counters.snapshot())) for life in lives]

    def _is_drained(self) -> bool:
        stored = [item.index for item in self.history[-400:] if isinstance(item, TokenSaved)]
        if not self._token_covers_all(stored):
            return False
        ends = {p: len(self.log.partitions.get(tuple(p), ())) for p in self.topic_partitions()}
        return all(
            end == 0 or (self.database.offsets.get(p) == end and self.group.committed.get(p) == end)
            for p, end in ends.items()
        )

    def _token_covers_all(self, recently: list[int]) -> bool:
        return bool(self.shelf.data) and self._token_index() >= self.source.last_watched

    def _token_index(self) -> int:
        from cdc_cli.checkpoint.record import decode

        assert self.shelf.data is not None
        token = decode(self.shelf.data, "the shelf", "").mark.token
        return index_of(token) if token else -1

    def _state(self) -> str:
        token = self._token_index() if self.shelf.data else None
        ends = {tuple(p): len(self.log.partitions.get(tuple(p), ())) for p in self.topic_partitions()}
        stored = {tuple(p): offset for p, offset in self.database.offsets.items()}
        told = {tuple(p): offset for p, offset in self.group.committed.items()}
        return f"token {token} of {self.source.last_watched}, log {ends}, stored {stored}, told {told}"

    def _end(self) -> None:
        """SIGTERM to all: they end in time."""
        for life in self.lives:
            life.terminate()
        self._started = -1
        if not self.scheduler.run(lambda: all(life.is_over for life in self.lives), 30.0):
            names = [life.process.name for life in self.lives if not life.is_over]
            self.record(Overdue(f"{names} did not end after SIGTERM", 30.0))

    # People and mishaps.

    def _write(self) -> None:
        """The application."""
        for _ in range(self.plan.changes):
            self.scheduler.sleep(self.draw.choice((0.0, 0.01, 0.1, 1.0)) * self.draw.random())
            self.source.write()
            if self.happens("planted.junk", 0.05):
                topic = self.draw.choice(self.topic_partitions()).topic
                self.log.append(-1, topic, Record(topic, b"?", self.draw.choice((b"{bad", b"", None, b"[1]"))))
        self.scheduler.sleep(2.0 + 3 * self.draw.random())
        self._writing_done = True

    def _operate(self) -> None:
        """Keeps the processes running, as an init system does, and does what their messages ask for."""
        while self._started >= 0:
            wanted = {"watch": 1, "sync": self.plan.syncers}
            running = [life for life in self.lives if not life.is_over]
            for service, count in wanted.items():
                for _ in range(count - sum(life.service == service for life in running)):
                    self._start(service)
            self._measure(running)
            self.scheduler.sleep(0.5 + self.draw.random())

    def _start(self, service: str) -> None:
        ended = [life for life in self.lives if life.service == service and life.is_over]
        self._mend(ended[-1] if ended else None)
        if service == "watch":
            self._tamper()
        self._rewind_sometimes(service)
        self._started += 1
        self.note(f"{service}{self._started} is started")
        self.lives = [life for life in self.lives if not life.is_over or life.service != service]
        self.lives.append(Life(self, service, self._started))

    def _mend(self, life: Life | None) -> None:
        if life is None or life.error is None:
            return
        self.note(f"{life.process.name} has ended: {life.error!r}")
        if not is_expected(life.error):
            self.record(Overdue(f"{life.process.name} ended with a defect: {life.error!r}", 0))
        if isinstance(life.error, CdcError) and life.error.exit_code == ExitCode.POSITION_LOST:
            self.note("the operator restores the token")
            tokens.restore(self)

    def _tamper(self) -> None:
        if self.shelf.data is None:
            return
        if self.happens("token.gone", 0.5):
            tokens.vanish(self)
        elif self.happens("token.rewound", 0.5):
            tokens.go_back(self)

    def _rewind_sometimes(self, service: str) -> None:
        """Restoring a database begins with stopping its clients."""
        is_last_down = not any(life.service == "sync" and not life.is_over for life in self.lives)
        if service == "sync" and is_last_down and self.happens("postgres.rewound", 0.5):
            self.database.rewind()

    def _measure(self, running: list[Life]) -> None:
        for life in running:
            amount, cap = life.in_flight()
            if amount > cap:
                self.record(Unbounded(f"in flight in {life.process.name}", amount, cap))

    def _sabotage(self) -> None:
        """Faults that strike from outside, now and then."""
        while not self.is_calm:
            self.scheduler.sleep(0.3 + self.draw.random())
            self.database_dump()
            if self.happens("kafka.down", 0.08):
                self.log.down_until = self.scheduler.now + self.draw.choice((0.5, 4.0, 12.0))
            if self.happens("postgres.failover", 0.08):
                self.database.rewind()
            for life in self.lives:
                if not life.is_over:
                    self._strike(life)

    def database_dump(self) -> None:
        """A backup now and then; a replica lags a little only."""
        lags = "postgres.failover" in self.plan.faults
        if (lags or "postgres.rewound" in self.plan.faults) and self.draw.random() < (0.6 if lags else 0.2):
            self.database.dump()

    def _strike(self, life: Life) -> None:
        if self.happens(f"{life.service}.killed", 0.04):
            self.note(f"{life.process.name} is killed")
            life.process.kill()
        elif self.happens(f"{life.service}.stalled", 0.05):
            until = self.scheduler.now + self.draw.choice((1.0, 5.0, 15.0))
            life.process.stalled_until = max(life.process.stalled_until, until)
        elif self.happens(f"{life.service}.stopped", 0.04):
            life.terminate()


def _events(counts: dict[str, int]) -> dict[str, int]:
    """Without the waits, which grow as long as nothing happens."""
    return {name: count for name, count in counts.items() if not name.partition(".")[0].endswith(("_waited", "_busy"))}
