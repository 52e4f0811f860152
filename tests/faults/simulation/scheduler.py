"""Who runs next: greenlets on a virtual clock, with a seed. The stand-in for threads, locks, events and time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any

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


class Event:
    """`threading.Event`. A wait may take longer than it was asked for, as everywhere."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._scheduler.ready(task)

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        if self._is_set:
            return True
        scheduler = self._scheduler
        task = scheduler.running()
        self._waiting.append(task)
        if timeout is not None:
            late = 8 * scheduler.random.random() ** 4
            scheduler.ready(task, timeout + min(timeout * late, 0.2) + 0.001)
        scheduler.suspend(task)
        if task in self._waiting:
            self._waiting.remove(task)
        return self._is_set


class Lock:
    """`threading.Lock`, and a place where the scheduler may interrupt."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._holder: object = None
        self._waiting: list[Task] = []

    def acquire(self) -> bool:
        self._scheduler.maybe_switch()
        while self._holder is not None:
            task = self._scheduler.running()
            self._waiting.append(task)
            self._scheduler.suspend(task)
        self._holder = self._scheduler.current or "outside"
        return True

    def release(self) -> None:
        self._holder = None
        if self._waiting:
            self._scheduler.ready(self._waiting.pop(0))

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition(Lock):
    """`threading.Condition`, as far as the product uses it."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._sleeping: list[Task] = []

    def wait(self, timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        task = scheduler.running()
        self._sleeping.append(task)
        if timeout is not None:
            scheduler.ready(task, timeout)
        self.release()
        scheduler.suspend(task)
        was_told = task not in self._sleeping
        if not was_told:
            self._sleeping.remove(task)
        self.acquire()
        return was_told

    def notify(self, n: int = 1) -> None:
        for _ in range(min(n, len(self._sleeping))):
            self._scheduler.ready(self._sleeping.pop(0))


class Queue:
    """`queue.SimpleQueue`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiting: list[Task] = []

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiting:
            self._scheduler.ready(self._waiting.pop(0))

    def get(self, timeout: float | None = None) -> Any:
        scheduler = self._scheduler
        end = None if timeout is None else scheduler.now + timeout
        while not self._items:
            task = scheduler.running()
            if end is not None and scheduler.now >= end:
                raise Empty
            self._waiting.append(task)
            if end is not None:
                scheduler.ready(task, end - scheduler.now)
            scheduler.suspend(task)
            if task in self._waiting:
                self._waiting.remove(task)
        scheduler.running()
        return self._items.popleft()


class Thread:
    """`threading.Thread`, of the process that starts it."""

    def __init__(self, scheduler: Scheduler, target: Callable[..., None], name: str, args: Sequence[Any]) -> None:
        self._scheduler = scheduler
        self._target = target
        self._name = name
        self._args = args
        self._ended: Event | None = None

    def start(self) -> None:
        self._ended = Event(self._scheduler)
        self._scheduler.running().process.spawn(self._name, self._run)

    def join(self, timeout: float | None = None) -> None:
        assert self._ended is not None
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return self._ended is not None and not self._ended.is_set()

    def _run(self) -> None:
        try:
            self._target(*self._args)
        finally:
            assert self._ended is not None
            self._ended.set()


class Threading:
    """Stands where the product's modules have `threading`, for the length of a run."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Event(self) -> Any:  # noqa: N802 - the names of the module it stands for
        return Event(self._scheduler)

    def Lock(self) -> Any:  # noqa: N802
        return Lock(self._scheduler)

    def Condition(self) -> Any:  # noqa: N802
        return Condition(self._scheduler)

    def Thread(  # noqa: N802
        self, target: Callable[..., None], name: str, daemon: bool = False, args: Sequence[Any] = ()
    ) -> Any:
        return Thread(self._scheduler, target, name, args)

    def SimpleQueue(self) -> Any:  # noqa: N802
        return Queue(self._scheduler)
