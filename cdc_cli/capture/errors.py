"""What MongoDB and pymongo raise, sorted by what the caller should do (requirement R12.5)."""

from __future__ import annotations

import re

from pymongo import errors as mongo_errors

from cdc_cli.errors import CdcError, ConfigError, Denied, ExitCode, Fatal, PositionLost, Retryable

HISTORY_LOST = 286
TOKEN_UNUSABLE = frozenset({260, 280})
"""InvalidResumeToken, ChangeStreamFatalError: the token's event is filtered away now, or the token is foreign."""
_MALFORMED_TOKEN = frozenset({40647, 40648, 40649, 50811})
TOO_LARGE = 10334
"""BSONObjectTooLarge: the next event is over 16 MB; opening again at the same place meets it again."""
_UNAUTHORIZED = frozenset({13, 8000})
_AUTHENTICATION = 18
_NOT_REPLICATED = 40573
_NO_OPERATOR = 168
_HASH = "$toHashedIndexKey"
_VERIFY_FAILED = "CERTIFICATE_VERIFY_FAILED"
_RIGHTS = "grant the role `read` on what is watched (deployment-wide: `readAnyDatabase`)"


def translate(doing: str, exc: BaseException) -> CdcError:
    """The error for `doing` (a present participle); the caller raises it `from exc`."""
    if isinstance(exc, CdcError):
        return exc
    if isinstance(exc, mongo_errors.OperationFailure):
        return _operation_failure(doing, exc)
    if isinstance(exc, mongo_errors.InvalidURI | mongo_errors.ConfigurationError):
        return ConfigError(f"{doing}: {exc}", "check mongodb.uri", "mongodb.settings")
    if isinstance(exc, mongo_errors.PyMongoError) and _VERIFY_FAILED in str(exc):
        hint = "check tlsCAFile in mongodb.uri, and that its host names are those in the servers' certificates"
        return ConfigError(f"{doing}: {_short(exc)}", hint, "mongodb.tls")
    if isinstance(exc, mongo_errors.PyMongoError | OSError):
        return Retryable(
            f"{doing}: {_short(exc)}", "check that the servers in mongodb.uri are up and reachable from here"
        )
    return Fatal(f"{doing}: unexpected {type(exc).__name__}: {exc}", exit_code=ExitCode.BUG)


def _operation_failure(doing: str, exc: mongo_errors.OperationFailure) -> CdcError:
    said = _short(exc)
    if exc.code == HISTORY_LOST:
        return PositionLost(
            f"{doing}: the stored position is no longer in MongoDB's oplog ({said})",
            "changes in between are lost to this stream: copy them by hand or accept the gap, then choose with "
            "`cdc token reset --to-oldest` or `--to-now`; a larger oplog prevents this",
        )
    if exc.code in TOKEN_UNUSABLE | _MALFORMED_TOKEN:
        return PositionLost(
            f"{doing}: MongoDB does not accept the stored resume token ({said})",
            "is this the deployment and pipeline that the token was saved for? see `cdc token show`; "
            "`cdc token reset` chooses a new position",
        )
    if exc.code in _UNAUTHORIZED:
        return Denied(f"{doing}: the user has not the right ({said})", _RIGHTS, "mongodb.unauthorized")
    if exc.code == _AUTHENTICATION:
        return Denied(
            f"{doing}: MongoDB refused user or password", "check the credentials and authSource in mongodb.uri",
            "mongodb.authentication",
        )
    if exc.code == _NOT_REPLICATED:
        return ConfigError(
            f"{doing}: this MongoDB is a standalone server, and change streams need a replica set",
            "start mongod with --replSet rs0 and run rs.initiate() once (one member is enough)",
            "mongodb.not_replicated",
        )
    if exc.code == _NO_OPERATOR and _HASH in said:
        return ConfigError(
            f"{doing}: this MongoDB cannot divide documents among shards: it does not know {_HASH}",
            "watcher.shard needs a newer MongoDB (6.0 has it); without it, one watcher reads everything",
            "mongodb.no_shards",
        )
    return Retryable(f"{doing}: {said}", "see MongoDB's log")


def _short(exc: BaseException) -> str:
    """The driver's text without the topology and without the whole command that are appended to it."""
    text = str(exc)
    for appendix in (", full error:", ", Timeout:", ", Topology Description:"):
        text = text.split(appendix, 1)[0]
    return re.sub(r"(to execute command) \{ (\w+):.*", r"\1 \2", text)
