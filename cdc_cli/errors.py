"""One small hierarchy, split by what the caller should do; never by the module that raises.

Driver exceptions are translated once, in the adapter that talks to the driver, with the cause kept
(`raise Retryable(...) from exc`). Every message says what was attempted and why it failed; `hint` is the
next step for the operator. Neither ever holds a secret or a document body.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process ends with; the table is part of the public interface (README, "Exit codes")."""

    OK = 0
    DIFFERS = 1
    USAGE = 2
    UNREACHABLE = 69
    BUG = 70
    TRY_LATER = 75
    DENIED = 77
    CONFIG = 78
    POSITION_LOST = 80
    BAD_DATA = 81
    TIMEOUT = 124
    FORCED_INT = 130
    FORCED_TERM = 143


class Terminated(KeyboardInterrupt):
    """A command that drains nothing was ended by SIGTERM; everywhere else the same as Ctrl-C."""


class CdcError(Exception):
    """The base: a sentence for the operator, a stable `code` for machines, and the next step as `hint`."""

    exit_code: ExitCode = ExitCode.BUG
    code: str = "error"

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code


class ConfigError(CdcError):
    """The configuration, or what it points at, cannot work: correct it, a retry will not help."""

    exit_code = ExitCode.CONFIG
    code = "config.invalid"


class Retryable(CdcError):
    """Something outside failed in a way that passes (network, election, deadlock): wait, then try again."""

    exit_code = ExitCode.UNREACHABLE
    code = "unreachable"


class PoisonEvent(CdcError):
    """This one event cannot be processed, others can: dead-letter it (or stop, by `on_error`)."""

    exit_code = ExitCode.BAD_DATA
    code = "event.poison"


class PositionLost(CdcError):
    """The stored position is gone (oplog rolled over, retention passed, corrupt token): an operator decides."""

    exit_code = ExitCode.POSITION_LOST
    code = "position.lost"


class Denied(CdcError):
    """The server refused who we are or what we asked for: credentials or rights must be mended."""

    exit_code = ExitCode.DENIED
    code = "denied"


class TryLater(CdcError):
    """Somebody else holds what we need (another watcher on this token): not an error of ours."""

    exit_code = ExitCode.TRY_LATER
    code = "held_by_another"


class Fatal(CdcError):
    """The process must stop: going on would break a promise. `exit_code` may be set per instance."""

    code = "fatal"

    def __init__(
        self, message: str, hint: str = "", code: str = "", exit_code: ExitCode = ExitCode.BUG
    ) -> None:
        super().__init__(message, hint, code)
        self.exit_code = exit_code
