"""What `watch`, `sync` and `run` share: make the services, prepare them, run their threads until the stop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cdc_cli.cli.options import LogFormat, LogLevel

if TYPE_CHECKING:
    from cdc_cli.cli.session import Session


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
    from cdc_cli.wiring import wire
    from cdc_cli.workers.runtime import tune_collector
    from cdc_cli.workers.services import SyncService, WatchService
    from cdc_cli.workers.supervisor import Supervisor

    kinds = {"watch": WatchService, "sync": SyncService}
    with ExitStack() as stack:
        container = stack.enter_context(wire(session.settings, session.stop))
        supervisor = Supervisor(
            session.stop, session.clock, session.shutdown_timeout, last_words=lambda error: _tell(session, error)
        )
        services = [container.get(kinds[name]) for name in names]
        for service in services:
            stack.callback(service.close)
            service.prepare()
        tune_collector()
        for service in services:
            service.spawn(supervisor)
        supervisor.run()


def _tell(session: Session, error: BaseException) -> None:
    session.report(error)
