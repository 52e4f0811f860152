"""Asking every server of a configuration, read-only: can we get in, and may we do what we will have to do?

One function per server, imported when it runs, so that no driver is loaded for anything else. All run at the
same time and share one deadline: a machine with four dead servers is told so after one time-out, not four.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from cdc_cli.errors import CdcError, ExitCode, Fatal, Retryable
from cdc_cli.settings.models import Settings
from cdc_cli.settings.secrets import Redactor


class Answer(NamedTuple):
    """What a server said, in one line, and what works but should not stay so."""

    text: str
    warnings: tuple[str, ...] = ()


Probe = Callable[[Settings, float], Answer]
"""Takes the settings and the seconds there are; raises CdcError."""


class Planned(NamedTuple):
    """A probe, and for which configurations it runs."""

    name: str
    module: str
    is_needed: Callable[[Settings], bool]


_RANK = (ExitCode.BUG, ExitCode.CONFIG, ExitCode.POSITION_LOST, ExitCode.DENIED, ExitCode.UNREACHABLE)

PROBES: tuple[Planned, ...] = (
    Planned("MongoDB", "mongodb", lambda settings: True),
    Planned("Kafka", "kafka", lambda settings: True),
    Planned("PostgreSQL", "postgres", lambda settings: True),
    Planned("Redis", "redis", lambda settings: settings.token_store.backend == "redis"),
    Planned("token file", "token_file", lambda settings: settings.token_store.backend == "file"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one probe; without secrets. `code` is 0 when the server is fit."""

    server: str
    seconds: float
    message: str
    hint: str = ""
    warnings: tuple[str, ...] = ()
    code: ExitCode = ExitCode.OK
    error_code: str | None = None

    @property
    def is_fit(self) -> bool:
        """Whether the pipeline can work with this server."""
        return self.code is ExitCode.OK

    def as_json(self) -> dict[str, Any]:
        """For the JSON envelope."""
        return {
            "server": self.server,
            "ok": self.is_fit,
            "seconds": round(self.seconds, 3),
            "message": self.message,
            "suggestion": self.hint or None,
            "warnings": list(self.warnings),
            "code": self.error_code,
        }


def run_probes(
    settings: Settings, timeout: float, probes: Mapping[str, Probe] | None = None
) -> list[Outcome]:
    """Ask all servers at once; returns after `timeout` seconds at the latest, never raises for a server."""
    chosen = probes if probes is not None else _needed(settings)
    redactor, started = Redactor.of(settings), time.monotonic()
    done: dict[str, Outcome] = {}

    def run(name: str, probe: Probe) -> None:
        done[name] = _outcome(name, probe, settings, timeout, redactor)

    threads = []
    with _quiet_drivers():
        for name, probe in chosen.items():
            # A daemon: a driver that does not keep to its time limit must not keep the command from ending.
            thread = threading.Thread(target=run, args=(name, probe), name=f"probe-{name}", daemon=True)
            threads.append(thread)
            thread.start()
        for thread in threads:
            thread.join(max(0.0, started + timeout - time.monotonic()))
    return [done.get(name) or _no_answer(name, timeout) for name in chosen]


def worst(outcomes: Iterable[Outcome]) -> ExitCode:
    """The exit code for all together: 78 > 80 > 77 > 69 > 1."""
    codes = {outcome.code for outcome in outcomes if not outcome.is_fit}
    return next((code for code in _RANK if code in codes), min(codes, default=ExitCode.OK))


@contextmanager
def _quiet_drivers() -> Iterator[None]:
    """The outcome says once what the drivers log at every attempt."""
    loggers = [logging.getLogger(name) for name in ("kafka", "pymongo", "redis")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _needed(settings: Settings) -> dict[str, Probe]:
    return {planned.name: _lazily(planned.module) for planned in PROBES if planned.is_needed(settings)}


def _lazily(module: str) -> Probe:
    def probe(settings: Settings, seconds: float) -> Answer:
        answer: Answer = importlib.import_module(f"{__name__}.{module}").probe(settings, seconds)
        return answer

    return probe


def _outcome(name: str, probe: Probe, settings: Settings, timeout: float, redactor: Redactor) -> Outcome:
    started = time.monotonic()
    try:
        answer = probe(settings, timeout)
    except Exception as exc:
        error = exc if isinstance(exc, CdcError) else Fatal(f"unexpected {type(exc).__name__}: {exc}")
        clean, hint = redactor.clean(error.message), redactor.clean(error.hint)
        spent = time.monotonic() - started
        return Outcome(name, spent, clean, hint, code=error.exit_code, error_code=error.code)
    return Outcome(name, time.monotonic() - started, redactor.clean(answer.text), warnings=answer.warnings)


def _no_answer(name: str, timeout: float) -> Outcome:
    error = Retryable(f"no answer within {timeout:g} s", "check address and firewall, or give more --timeout")
    return Outcome(name, timeout, error.message, error.hint, code=error.exit_code, error_code=error.code)
