"""`threading` and `queue.SimpleQueue` on the scheduler, as far as the program uses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any

from tests.faults.simulation.scheduler import Scheduler, Task


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

    def Event(self) -> Any:
        return Event(self._scheduler)

    def Lock(self) -> Any:
        return Lock(self._scheduler)

    def Condition(self) -> Any:
        return Condition(self._scheduler)

    def Thread(
        self, target: Callable[..., None], name: str, daemon: bool = False, args: Sequence[Any] = ()
    ) -> Any:
        return Thread(self._scheduler, target, name, args)

    def SimpleQueue(self) -> Any:
        return Queue(self._scheduler)
