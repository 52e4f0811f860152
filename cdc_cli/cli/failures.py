"""How a command fails: what is logged, who is told, what is printed, and the exit code. One place for all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cdc_cli.errors import CdcError, ConfigError, ExitCode, Terminated, TryLater
from cdc_cli.observe.log import EventLog
from cdc_cli.settings.findings import InvalidConfig

if TYPE_CHECKING:
    from cdc_cli.cli.session import Session

log = EventLog(__name__)


def exit_code(error: BaseException) -> ExitCode:
    """The one classifier: the class of the error decides; what is not ours is a bug of ours."""
    if isinstance(error, CdcError):
        return ExitCode(error.exit_code)
    if isinstance(error, Terminated):
        return ExitCode.FORCED_TERM
    return ExitCode.FORCED_INT if isinstance(error, KeyboardInterrupt) else ExitCode.BUG


def report(session: Session, error: BaseException) -> None:
    """Log it, tell the webhook, print the sentence. Blocks a few seconds for the webhook at most."""
    _log(session, error)
    _alert(session, error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    session.output.failure(_as_json(session, error), _findings(error))
    for line in _sentences(session, error):
        session.output.note(session.clean(line))


def _log(session: Session, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    if session.request.is_service:
        action = "config.invalid" if isinstance(error, ConfigError) else "worker.gave_up"
        code, exits = _code(error), int(exit_code(error))
        text = "fatal: %s stops: %s"
        fields: dict[str, object] = {"outcome": "failure", "code": code, "exit_code": exits}
        log.error(action, text, session.request.command, error, error=error, **fields)
    elif isinstance(error, CdcError):
        log.debug("command.failed", "%s", error, error=error)
    else:
        log.error("command.crashed", "%s", error, error=error)


def _alert(session: Session, error: BaseException) -> None:
    """Once per give-up. A watcher that only waits for its turn has not given up."""
    settings = session.known_settings
    if not session.request.is_service or settings is None or settings.alerts.webhook is None:
        return
    if isinstance(error, TryLater | KeyboardInterrupt):
        return
    from cdc_cli.observe.alerts import Alert, Webhook

    hint = error.hint if isinstance(error, CdcError) else "the log has the stack trace"
    alert = Alert(
        settings.name, session.request.command, _code(error), int(exit_code(error)), str(error), hint, session.shard
    )
    Webhook(settings.alerts.webhook.get_secret_value(), session.clean, session.clock).send(alert)


def _sentences(session: Session, error: BaseException) -> Iterator[str]:
    """What failed and why, the next step, and with -v what was behind it."""
    if isinstance(error, KeyboardInterrupt):
        yield "interrupted"
    elif isinstance(error, CdcError):
        yield f"error: {error.message}"
        if error.hint:
            yield f"hint: {error.hint}"
        if session.request.is_verbose:
            yield from (f"caused by: {cause}" for cause in _causes(error))
    else:
        name, _, more = str(error).partition("\n")
        text = f"{type(error).__name__}: {name}{' ...' if more else ''}"
        yield f"error: a bug in cdc: {text} (the log has the stack trace, please report it)"


def _causes(error: BaseException) -> Iterator[str]:
    """The chain below the error, each as one line."""
    cause = error.__cause__
    while cause is not None:
        yield f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        cause = cause.__cause__


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, CdcError) else "bug"


def _as_json(session: Session, error: BaseException) -> dict[str, object]:
    """The error of the envelope; of many mistakes in a configuration the first, `result` has them all."""
    fields: dict[str, object] = {
        "code": _code(error),
        "message": session.clean(str(error) or type(error).__name__),
        "suggestion": session.clean(error.hint) or None if isinstance(error, CdcError) else None,
        **dict.fromkeys(("config_path", "file", "line", "column")),
    }
    if isinstance(error, InvalidConfig):
        first = next(finding for finding in error.findings if finding.severity == "error")
        fields |= {name: value for name, value in first.as_json().items() if name in fields}
    elif isinstance(error, KeyboardInterrupt):
        fields |= {"code": "interrupted", "message": "interrupted"}
    return fields


def _findings(error: BaseException) -> dict[str, object] | None:
    if not isinstance(error, InvalidConfig):
        return None
    return {"findings": [finding.as_json() for finding in error.findings]}
