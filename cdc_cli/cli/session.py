"""What every command does around its work: settings, logging, signals, and one way out for every failure.

    with open_session("token.show", config=config, overrides=overrides, output=output) as session:
        ...  # session.settings, session.output, session.stop

A `CdcError` becomes one clear sentence on stderr with the next step, and the exit code of its class; anything
else is a bug: one sentence, code 70, and the stack trace in the log. With `-o json` the error also stands in
the envelope on stdout. A service (`watch`, `sync`, `run`) that ends by an error has given up: that is a fatal
log entry and an alert (R12.3).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cdc_cli.cli import failures
from cdc_cli.cli.options import LogFormat, LogLevel
from cdc_cli.cli.output import Output, OutputFormat
from cdc_cli.clock import Clock, SystemClock
from cdc_cli.errors import ExitCode
from cdc_cli.observe.log import EventLog

if TYPE_CHECKING:
    from cdc_cli.settings.load import Loaded
    from cdc_cli.settings.models import Settings
    from cdc_cli.settings.secrets import Redactor

log = EventLog(__name__)

_AFTER_DRAIN = 5.0
"""Seconds for closing connections after the workers have drained, before the process is left anyway."""
_WITHOUT_SETTINGS = 25.0

PASSED_ON = (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError)
"""What Typer itself turns into the end of the process."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the shared options of the command line asked for."""

    command: str
    config: Sequence[Path]
    overrides: Sequence[str]
    log_level: LogLevel | None
    log_format: LogFormat | None
    is_verbose: bool
    is_service: bool
    environment: Mapping[str, str]


class Session:
    """One run of a command. `stop` is set by the first signal when the command drains (`is_service`)."""

    def __init__(self, request: Request, output: Output, clock: Clock) -> None:
        self.request = request
        self.output = output
        self.clock = clock
        self.stop = threading.Event()
        self._loaded: Loaded | None = None
        self._redactor: Redactor | None = None
        self._has_reported = False

    @property
    def settings(self) -> Settings:
        """The settings; only where the session was opened with `needs_config`."""
        return self.loaded.settings

    @property
    def known_settings(self) -> Settings | None:
        """The settings when they are there already: a failure may come before them."""
        return self._loaded.settings if self._loaded else None

    @property
    def shard(self) -> str:
        """The shard of a watcher, empty for one without and for other commands."""
        settings = self.known_settings
        return (settings.watcher.shard or "") if settings and self.request.command == "watch" else ""

    @property
    def loaded(self) -> Loaded:
        """The settings with their origins and warnings."""
        if self._loaded is None:
            raise LookupError("this command was opened without a configuration")
        return self._loaded

    def load(self) -> None:
        """Read the configuration. Blocks for the file system; raises ConfigError."""
        from cdc_cli.settings.load import load
        from cdc_cli.settings.secrets import Redactor

        request = self.request
        self._loaded = load(request.config, request.environment, request.overrides)
        self._redactor = Redactor.of(self._loaded.settings)

    def clean(self, text: str) -> str:
        """The text without secrets: their values once the settings are loaded, URIs with passwords always."""
        if self._redactor is not None:
            return self._redactor.clean(text)
        from cdc_cli.settings.secrets import mask_uri

        return mask_uri(text)

    def report(self, error: BaseException) -> ExitCode:
        """Tell about the failure that ends the command, once; what the process should exit with.

        Blocks a few seconds for the alert at most. Also for a supervisor's `last_words`.
        """
        if not self._has_reported:
            self._has_reported = True
            failures.report(self, error)
        return failures.exit_code(error)

    @property
    def shutdown_timeout(self) -> float:
        """Seconds that the slowest part of this process may take to drain."""
        settings = self.known_settings
        if settings is None:
            return _WITHOUT_SETTINGS
        return max(settings.watcher.shutdown_timeout, settings.syncer.shutdown_timeout)


@contextmanager
def open_session(
    command: str,
    *,
    config: Sequence[Path] | None = None,
    overrides: Sequence[str] | None = None,
    output: OutputFormat = OutputFormat.TEXT,
    log_level: LogLevel | None = None,
    log_format: LogFormat | None = None,
    verbose: bool = False,
    needs_config: bool = True,
    is_service: bool = False,
) -> Iterator[Session]:
    """Everything around a command; ends it by `typer.Exit` when it failed.

    `is_service`: the first SIGINT or SIGTERM sets `session.stop` and the command drains (exit code 0), the
    second one kills; every error is an alert. Elsewhere Ctrl-C ends the command at once with 130.
    """
    from cdc_cli.retry import Stopped

    level = LogLevel.DEBUG if verbose else log_level
    request = Request(
        command, config or (), overrides or (), level, log_format, verbose, is_service, os.environ
    )
    printer = Output(command, OutputFormat(output), sys.stdout, sys.stderr, os.environ)
    session = Session(request, printer, SystemClock())
    code = ExitCode.OK
    with ExitStack() as stack:
        try:
            _prepare(session, stack, needs_config)
            with suppress(Stopped):
                yield session
            _confirm(session)
        except PASSED_ON:
            raise
        except (Exception, KeyboardInterrupt) as error:
            session.stop.set()
            code = session.report(error)
    if code is not ExitCode.OK:
        raise typer.Exit(int(code))


def _prepare(session: Session, stack: ExitStack, needs_config: bool) -> None:
    """Logging with what is known, signals, the settings, logging again with what they say."""
    from cdc_cli.workers.deadline import gone_in_time
    from cdc_cli.workers.signals import stop_on_signals

    logs = stack.enter_context(_logging(session))
    if session.request.is_service:
        stack.enter_context(
            gone_in_time(session.stop, lambda: session.shutdown_timeout + _AFTER_DRAIN, _flush_logs)
        )
        stack.enter_context(stop_on_signals(session.stop))
    if needs_config:
        session.load()
        logs.close()
        stack.enter_context(_logging(session))
        for warning in session.loaded.warnings:
            if _is_for_a_person(session.request):
                session.output.note(warning.text)
            else:
                log.warn("config.warning", "%s", warning.text, code=warning.code)


def _is_for_a_person(request: Request) -> bool:
    """Whether somebody at a terminal reads what this command says; `logging.format` is about services."""
    return not request.is_service and sys.stderr.isatty()


def _logging(session: Session) -> ExitStack:
    """The option, else the settings, else: services say what they do, other commands only what is wrong."""
    from cdc_cli.observe.logging import LogOptions, logging_to

    request, settings = session.request, session.known_settings
    level = request.log_level.value if request.log_level else None
    if level is None:
        level = (settings.logging.level if settings else "info") if request.is_service else "warn"
    form = request.log_format.value if request.log_format else "console" if _is_for_a_person(request) else None
    options = LogOptions(
        level=level,  # type: ignore[arg-type]
        format=form or (settings.logging.format if settings else "auto"),  # type: ignore[arg-type]
        service=settings.name if settings else "cdc",
        command=request.command,
        clean=session.clean,
        environment=request.environment,
        shard=session.shard,
    )
    stack = ExitStack()
    stack.enter_context(logging_to(sys.stderr, options, session.clock))
    return stack


def _flush_logs() -> None:
    """What was logged is written in the background: without this the last words would be lost. At most 2 s."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def _confirm(session: Session) -> None:
    """The last line of a service that has drained (R9.5)."""
    if session.request.is_service and session.stop.is_set():
        name = session.request.command
        log.info("shutdown.completed", "%s has drained and stopped", name, outcome="success")
