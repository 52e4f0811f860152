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
    from cdc_cli.workers.runtime import tune_interpreter
    from cdc_cli.workers.supervisor import Supervisor

    _refuse_shard(session)
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
        tune_interpreter()
        for service in services:
            service.spawn(supervisor)
        supervisor.run()


def _refuse_shard(session: Session) -> None:
    """`cdc run` is the whole pipeline; with a shard it would leave documents out without a word."""
    from cdc_cli.errors import ConfigError

    if session.request.command == "run" and session.settings.shard is not None:
        raise ConfigError(
            f"cdc run handles all documents, but watcher.shard is {session.settings.shard.text}",
            "run `cdc watch --shard i/n` once for each shard, and `cdc sync`; or leave watcher.shard out",
            "config.conflict",
        )


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
            "shard": session.shard or None,
            "alive": health.is_alive,
            "ready": health.is_ready,
            "checks": {**health.loops(), **health.checks()},
            "gauges": {gauge.name: gauge.as_json() for gauge in gauges},
            "counters": counters.snapshot(),
        }

    pages = Pages(health, lambda: render(counters, gauges) + _shard_info(session.shard), status)
    server = StatusServer(session.settings.http.bind, pages)
    server.start()
    stack.callback(server.close)


def _shard_info(shard: str) -> str:
    """The metric that tells the share of a watcher; nothing when it has none."""
    meaning = "the share of the documents that this watcher has"
    head = f"# HELP cdc_shard_info {meaning}\n# TYPE cdc_shard_info gauge\n"
    return f'{head}cdc_shard_info{{shard="{shard}"}} 1\n' if shard else ""


def _tell(session: Session, error: BaseException) -> None:
    session.report(error)
