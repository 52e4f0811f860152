"""What `watch`, `sync` and `run` share: make the services, prepare them, run their threads until the stop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cdc_cli.cli.options import LogFormat, LogLevel

if TYPE_CHECKING:
    from cdc_cli.cli.session import Session
    from cdc_cli.container import Container
    from cdc_cli.workers.services import Service


def run_services(
    command: str,
    names: Sequence[str],
    config: Sequence[Path] | None,
    overrides: Sequence[str] | None,
    log_level: LogLevel | None,
    log_format: LogFormat | None,
    verbose: bool,
) -> None:
    """Run the services (`watch`, `sync`) in this process until a signal or a failure."""
    from cdc_cli.cli.session import open_session

    with open_session(
        command,
        config=config,
        overrides=overrides,
        log_level=log_level,
        log_format=log_format,
        verbose=verbose,
        is_service=True,
    ) as session:
        _run(session, names)


def _run(session: Session, names: Sequence[str]) -> None:
    from cdc_cli import failpoints
    from cdc_cli.wiring import wire
    from cdc_cli.workers.runtime import tune_collector
    from cdc_cli.workers.supervisor import Supervisor

    failpoints.arm(session.request.environment.get(failpoints.VARIABLE, ""))
    with ExitStack() as stack:
        container = stack.enter_context(wire(session.settings, session.stop))
        supervisor = Supervisor(
            session.stop, session.clock, session.shutdown_timeout, last_words=lambda error: _tell(session, error)
        )
        services: list[Service] = [_service(container, name) for name in names]
        for service in services:
            stack.callback(service.close)
            service.prepare()
        if session.settings.http.enabled:
            _serve(session, stack, container, services)
        tune_collector()
        for service in services:
            service.spawn(supervisor)
        supervisor.run()


def _service(container: Container, name: str) -> Service:
    from cdc_cli.workers.services import SyncService, WatchService

    return container.get(WatchService) if name == "watch" else container.get(SyncService)


def _serve(session: Session, stack: ExitStack, container: Container, services: Sequence[Service]) -> None:
    """Probes and metrics over HTTP, until the stack closes."""
    from cdc_cli.observe.counters import Counters
    from cdc_cli.observe.health import Health
    from cdc_cli.observe.http import Pages, StatusServer
    from cdc_cli.observe.metrics import render

    counters, health = container.get(Counters), container.get(Health)
    gauges = [gauge for service in services for gauge in service.gauges()]

    def status() -> dict[str, object]:
        return {
            "name": session.settings.name,
            "command": session.request.command,
            "alive": health.is_alive,
            "ready": health.is_ready,
            "checks": {**health.loops(), **health.checks()},
            "gauges": {gauge.name: gauge.as_json() for gauge in gauges},
            "counters": counters.snapshot(),
        }

    server = StatusServer(session.settings.http.bind, Pages(health, lambda: render(counters, gauges), status))
    server.start()
    stack.callback(server.close)


def _tell(session: Session, error: BaseException) -> None:
    session.report(error)
