"""The services of a stage: made by the wiring, run in this process like `cdc run` does it, drained at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from cdc_cli.clock import Clock
from cdc_cli.errors import Fatal
from cdc_cli.observe.counters import Counters
from cdc_cli.retry import Stopped
from cdc_cli.settings.models import Settings
from cdc_cli.workers.supervisor import Supervisor

STEP = 0.002
"""Seconds between two looks at the counters."""
_STUCK = 60.0
"""Seconds without any progress that a wait is given up after."""


class Running:
    """What runs now. `stop` ends it; `until` waits for it."""

    def __init__(
        self, counters: Counters, stop: threading.Event, ended: threading.Event, supervisor: Supervisor, clock: Clock
    ) -> None:
        self.counters = counters
        self._stop = stop
        self._ended = ended
        self._supervisor = supervisor
        self._clock = clock
        self._is_draining = False

    def drain(self) -> None:
        """Everything was read: the services write what they hold, as after a SIGTERM. Does not wait."""
        self._is_draining = True
        self._stop.set()

    def until(self, what: str, condition: Callable[[], bool], progress: Callable[[], int] = lambda: 0) -> None:
        """Wait for the condition. Raises Stopped when the bench is stopped, what ended a service, and Fatal without
        progress for a minute.
        """
        best, since = -1, self._clock.monotonic()
        while not condition():
            if self._ended.wait(STEP):
                raise Stopped(what)
            if self._stop.is_set() and not self._is_draining:
                self._supervisor.join()
                raise Fatal(f"the services ended before {what}", code="bench.ended")
            now = self._clock.monotonic()
            if (reached := progress()) != best:
                best, since = reached, now
            elif now - since > _STUCK:
                raise Fatal(
                    f"the bench waited {_STUCK:.0f} s in vain for {what}",
                    "look at the log with --log-level info, and at the servers",
                    "bench.stuck",
                )

    def count(self, *names: str) -> int:
        """These counters together."""
        return sum(self.counters.get(name) for name in names)

    def seconds(self, name: str) -> dict[str, float]:
        """By label, of one of the counters of time."""
        return {label: us / 1e6 for (known, label), us in self.counters.labelled().items() if known == name}


@contextmanager
def running(settings: Settings, names: Sequence[str], ended: threading.Event, clock: Clock) -> Iterator[Running]:
    """Run the services (`watch`, `sync`) while inside; the first error of theirs comes out. `ended` ends them, too."""
    from cdc_cli.wiring import wire
    from cdc_cli.workers.runtime import tune_interpreter
    from cdc_cli.workers.services import Service, SyncService, WatchService

    stop = threading.Event()
    deadline = max(settings.watcher.shutdown_timeout, settings.syncer.shutdown_timeout)
    with ExitStack() as stack:
        container = stack.enter_context(wire(settings, stop))
        stack.enter_context(_passing_on(ended, stop))
        services: list[Service] = []
        for name in names:
            service: Service = container.get(WatchService) if name == "watch" else container.get(SyncService)
            services.append(service)
            stack.callback(service.close)
            service.prepare()
        tune_interpreter()
        supervisor = Supervisor(stop, clock, deadline)
        stack.callback(supervisor.join)
        for service in services:
            service.spawn(supervisor)
        yield Running(container.get(Counters), stop, ended, supervisor, clock)


@contextmanager
def _passing_on(ended: threading.Event, stop: threading.Event) -> Iterator[None]:
    """While inside, the end of the bench is the end of its services."""
    is_over = threading.Event()

    def pass_on() -> None:
        while not is_over.is_set():
            if ended.wait(0.2):
                stop.set()
                return

    threading.Thread(target=pass_on, name="cdc-bench-stop", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
