"""Who runs next: greenlets on a virtual clock, with a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from greenlet import GreenletExit, getcurrent, greenlet


class OutOfSteps(Exception):
    """The run has taken more steps than any healthy one needs: something spins."""


class Process:
    """What dies together: a simulated operating-system process. Its tasks vanish at `kill`, without a word."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.stalled_until = 0.0
        self._scheduler = scheduler
        self._tasks: list[Task] = []

    def spawn(self, name: str, work: Callable[[], object]) -> Task:
        """A thread of this process."""
        task = Task(self._scheduler, self, f"{self.name} {name}", work)
        self._tasks.append(task)
        return task

    def kill(self) -> None:
        """SIGKILL: at once, also from inside; what its tasks still do on the way out reaches nothing."""
        self.is_dead = True
        current = getcurrent()
        for task in self._tasks:
            if task.greenlet is not current and not task.greenlet.dead:
                task.greenlet.parent = current
                task.greenlet.throw(GreenletExit)
        if any(task.greenlet is current for task in self._tasks):
            raise GreenletExit

    def check(self) -> None:
        """To be called by everything outside that the process touches: a dead one touches nothing."""
        if self.is_dead:
            raise GreenletExit

    @property
    def is_idle(self) -> bool:
        """All its tasks have ended."""
        return all(task.greenlet.dead for task in self._tasks)


class Task:
    """A thread, as a greenlet. `wake` grows with every switch, so that a wake-up that came too late is known."""

    __slots__ = ("greenlet", "name", "process", "wake")

    def __init__(self, scheduler: Scheduler, process: Process, name: str, work: Callable[[], object]) -> None:
        self.process = process
        self.name = name
        self.wake = 0
        self.greenlet = greenlet(work, parent=scheduler.hub)
        scheduler.ready(self)


class Scheduler:
    """The clock, the queue of wake-ups, and the loop."""

    def __init__(self, seed: object, max_steps: int) -> None:
        self.now = 0.0
        self.steps = 0
        self.random = random.Random(f"{seed} scheduler")
        self.hub = getcurrent()
        self._max_steps = max_steps
        self._queue: list[tuple[float, float, int, Task | None, int, Callable[[], None] | None]] = []
        self._number = 0
        self._current: Task | None = None

    def monotonic(self) -> float:
        """The clock of the product; see `Clock`."""
        return 1000.0 + self.now

    def time(self) -> float:
        return 1_764_000_000.0 + self.now

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call this in the scheduler's own greenlet after so long; it must not wait."""
        self._push(seconds, None, 0, call)

    def ready(self, task: Task, seconds: float = 0.0) -> None:
        """The task goes on after so long, unless something else wakes it before."""
        self._push(seconds, task, task.wake, None)

    def sleep(self, seconds: float) -> None:
        """The current task waits; others run."""
        task = self.running()
        self._push(seconds, task, task.wake, None)
        self.suspend(task)

    def maybe_switch(self) -> None:
        """A place where a thread may be interrupted; most often it is not."""
        if self._current is not None and self.random.random() < 0.05:
            self.sleep(self.random.random() ** 6)

    def suspend(self, task: Task) -> None:
        """Give way until somebody makes the task ready."""
        self.hub.switch()
        task.process.check()

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Let everything run until the condition holds, looked at now and then, or so many seconds have passed."""
        end = self.now + seconds
        look = 0
        while self._queue:
            self.steps += 1
            if self.steps > self._max_steps:
                raise OutOfSteps(f"{self.steps} steps in {self.now:.1f} s")
            at, _, _, task, wake, call = heapq.heappop(self._queue)
            if at > end:
                self.now = end
                self._push(at - end, task, wake, call)
                break
            self.now = max(self.now, at)
            if call is not None:
                call()
            elif task is not None:
                self._resume(task, wake)
            look += 1
            if look % 16 == 0 and until():
                return True
        return until()

    @property
    def current(self) -> Task | None:
        return self._current

    def _resume(self, task: Task, wake: int) -> None:
        if task.wake != wake or task.greenlet.dead or task.process.is_dead:
            return
        stalled = task.process.stalled_until
        if stalled > self.now:
            self._push(stalled - self.now, task, wake, None)
            return
        task.wake += 1
        self._current = task
        try:
            task.greenlet.switch()
        finally:
            self._current = None

    def running(self) -> Task:
        """The task that asks; one that is being killed gets no answer."""
        task = self._current
        if task is None or task.greenlet is not getcurrent():
            raise GreenletExit
        task.process.check()
        return task

    def _push(self, seconds: float, task: Task | None, wake: int, call: Callable[[], None] | None) -> None:
        self._number += 1
        tie = self.random.random()
        heapq.heappush(self._queue, (self.now + max(0.0, seconds), tie, self._number, task, wake, call))
