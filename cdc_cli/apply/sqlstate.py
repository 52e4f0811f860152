"""From what PostgreSQL reports (SQLSTATE) to what the caller should do. Pure: no connection, no driver state.

Drivers group errors by class (a cardinality violation is a ProgrammingError, a read-only server an
InternalError), which tells nothing about what to do next; the five-character SQLSTATE does. No SQLSTATE at
all means that the connection was lost or never came about.
"""

from __future__ import annotations

import re
from enum import Enum, auto

import psycopg2

from cdc_cli.apply.rights import grant_for
from cdc_cli.errors import CdcError, ConfigError, Denied, Fatal, PoisonEvent, Retryable


class Kind(Enum):
    """What an error asks for: wait and redo, set one event aside, or have a person change something."""

    RETRY = auto()
    POISON = auto()
    DENIED = auto()
    CONFIG = auto()
    MISSING = auto()
    BUG = auto()


_KINDS: dict[str, Kind] = {
    "08": Kind.RETRY,  # connection exceptions
    "0A000": Kind.RETRY,  # a cached plan outlived a change of its table; it is prepared anew
    "21000": Kind.BUG,
    "22": Kind.POISON,  # data exceptions: bad JSON, a character that cannot be stored, out of range
    "23": Kind.POISON,  # constraints that somebody added to the target
    "25006": Kind.RETRY,  # read-only: a standby, or a failover that is under way
    "25": Kind.RETRY,  # the session was ended inside its transaction
    "26": Kind.RETRY,  # a prepared statement is gone: a pooler changed the session below us
    "28": Kind.DENIED,
    "3D": Kind.CONFIG,
    "3F": Kind.MISSING,
    "40": Kind.RETRY,  # serialization failure, deadlock, unknown completion
    "42501": Kind.DENIED,
    "42P01": Kind.MISSING,
    "42P05": Kind.RETRY,  # prepared twice: a pooler again
    "42": Kind.CONFIG,
    "44": Kind.POISON,
    "53": Kind.RETRY,  # disk full, memory, too many connections
    "54": Kind.POISON,  # nested too deep, index row too large
    "55": Kind.RETRY,  # lock not available, object in use
    "57": Kind.RETRY,  # cancelled by our own time limit, shut down, starting up
    "58": Kind.RETRY,  # the server's own I/O
    "P0": Kind.POISON,  # raised by somebody's trigger on the target
    "XX000": Kind.RETRY,
}

_HINTS: dict[str, str] = {
    "25006": "is this a standby? add target_session_attrs=read-write to postgres.dsn",
    "26": "use session pooling: a transaction pooler loses prepared statements and temporary tables",
    "3F": "CREATE SCHEMA ..., or correct postgres.schema",
    "42P05": "use session pooling: a transaction pooler mixes up prepared statements",
    "42P10": "the target table needs PRIMARY KEY (_id, _id_type)",
    "53100": "the disk of the PostgreSQL server is full: free some space, writing goes on by itself",
    "53300": "lower postgres.pool.min/max, or raise max_connections of the server",
    "55P03": "another session holds a lock on the rows or the table: look into pg_locks",
    "57014": "the statement took longer than postgres.statement_timeout",
}

_CONNECT: tuple[tuple[str, Kind, str], ...] = (
    ("password authentication failed", Kind.DENIED, "check user and password in postgres.dsn"),
    ("no password supplied", Kind.DENIED, "put the password into postgres.dsn_file or PGPASSWORD"),
    ("authentication failed", Kind.DENIED, "check user and password in postgres.dsn"),
    ("no pg_hba.conf entry", Kind.DENIED, "allow this host, user and database in pg_hba.conf"),
    ("is not permitted to log in", Kind.DENIED, "ALTER ROLE ... LOGIN"),
    ("permission denied for database", Kind.DENIED, "GRANT CONNECT ON DATABASE ... TO ..."),
    ("certificate verify failed", Kind.CONFIG, "check sslrootcert in postgres.dsn"),
    ("does not match host name", Kind.CONFIG, "write the host in postgres.dsn as the server's certificate has it"),
    ("server does not support SSL", Kind.CONFIG, "the server has no TLS: set sslmode in postgres.dsn"),
    ("too many clients", Kind.RETRY, _HINTS["53300"]),
    ("too many connections", Kind.RETRY, _HINTS["53300"]),
    ("remaining connection slots", Kind.RETRY, _HINTS["53300"]),
)
_NO_ROLE = re.compile(r'role ".*" does not exist')
_NO_DATABASE = re.compile(r'database ".*" does not exist')


def classify(state: str | None) -> Kind:
    """What an SQLSTATE asks for: the full code decides, then its class; None = connection lost = retry."""
    if state is None:
        return Kind.RETRY
    return _KINDS.get(state) or _KINDS.get(state[:2], Kind.BUG)


def is_poison(error: Exception) -> bool:
    """Whether the content of a row is to blame; ValueError is the driver's word for NUL and bad UTF-8."""
    if isinstance(error, psycopg2.Error):
        return classify(error.pgcode) is Kind.POISON
    return isinstance(error, ValueError)


def translate(error: Exception, doing: str) -> CdcError:
    """Our error for the driver's; `doing` completes "could not ...". Never quotes rows: only the first line.

    The detail and the context of a PostgreSQL error hold the row itself, so both are left out.
    """
    if not isinstance(error, psycopg2.Error):
        return PoisonEvent(f"could not {doing}: {error}", code="postgres.encoding")
    state = error.pgcode
    reason = (error.diag.message_primary if state else _first_line(error)) or type(error).__name__
    text = f"could not {doing}: {reason[:300]}" + (f" (SQLSTATE {state})" if state else "")
    code = f"postgres.{state}" if state else "postgres.unreachable"
    return _make(classify(state), text, grant_for(reason) if state == "42501" else _hint(state), code)


def translate_connect(error: Exception, where: str) -> CdcError:
    """Our error for a failed connect, where PostgreSQL's reason comes as text without an SQLSTATE."""
    text = " ".join(str(error).split())
    message = f"could not connect to {where}: {text}"
    for part, kind, hint in _CONNECT:
        if part in text:
            return _make(kind, message, hint, "postgres.connect")
    if _NO_ROLE.search(text):
        return _make(Kind.DENIED, message, "CREATE ROLE ..., or correct postgres.dsn", "postgres.connect")
    if _NO_DATABASE.search(text):
        hint = "create the database, or correct its name in postgres.dsn"
        return _make(Kind.CONFIG, message, hint, "postgres.connect")
    hint = "is the server running, and do host and port in postgres.dsn fit?"
    return _make(Kind.RETRY, message, hint, "postgres.unreachable")


def _make(kind: Kind, text: str, hint: str, code: str) -> CdcError:
    match kind:
        case Kind.RETRY:
            return Retryable(text, hint, code)
        case Kind.POISON:
            return PoisonEvent(text, hint, code)
        case Kind.DENIED:
            return Denied(text, hint, code)
        case Kind.CONFIG | Kind.MISSING:
            return ConfigError(text, hint, code)
        case Kind.BUG:
            return Fatal(text, hint, code)


def _hint(state: str | None) -> str:
    return _HINTS.get(state, _HINTS.get(state[:2], "")) if state else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
