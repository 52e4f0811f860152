"""How the program says that something happened: an action for machines, a sentence for people, fields.

    log = EventLog(__name__)
    log.info("batch.applied", "applied %d rows", rows, rows=rows, collection="game.players")

The short field names of `FIELDS` become the names of the Elastic Common Schema and of OpenTelemetry; any
other becomes `cdc.<name>`. A plain `logging` call says the same with `extra={"event.action": ...}`. Never
pass a document, a key or a secret: identifiers, counts and places only (R10.3).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

FIELDS: Mapping[str, str] = {
    "outcome": "event.outcome",
    "duration": "event.duration",
    "code": "error.code",
    "topic": "messaging.destination.name",
    "partition": "messaging.destination.partition.id",
    "offset": "messaging.kafka.offset",
    "group": "messaging.consumer.group.name",
    "system": "db.system.name",
    "database": "db.namespace",
    "collection": "db.collection.name",
    "rows": "db.operation.batch.size",
    "stream": "cdc.stream",
    "cluster_time": "cdc.cluster_time",
    "lag": "cdc.lag_seconds",
    "worker": "cdc.worker",
    "key_hash": "cdc.key_hash",
}
"""Short name -> name in the log. `duration` is given in seconds and printed in nanoseconds, as in ECS."""

ACTION = "event.action"
"""The attribute of a `LogRecord` with the action; all fields stand beside it under their full names."""


class EventLog:
    """A logger of one module. Costs a comparison when the level is off."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(
        self, action: str, message: str, *args: object, error: BaseException | None = None, **fields: object
    ) -> None:
        """What only a developer asks for; still no document bodies."""
        self._log(logging.DEBUG, action, message, args, error, fields)

    def info(self, action: str, message: str, *args: object, **fields: object) -> None:
        """What an operator may want to look up. Never rate-limited: call it per batch, not per event."""
        self._log(logging.INFO, action, message, args, None, fields)

    def warn(
        self, action: str, message: str, *args: object, error: BaseException | None = None, **fields: object
    ) -> None:
        """What an operator should look at; the program goes on. Repetitions are counted, not printed."""
        self._log(logging.WARNING, action, message, args, error, fields)

    def error(
        self, action: str, message: str, *args: object, error: BaseException | None = None, **fields: object
    ) -> None:
        """What an operator must look at; `error` adds its type, message and stack trace (R10.5)."""
        self._log(logging.ERROR, action, message, args, error, fields)

    def _log(
        self,
        level: int,
        action: str,
        message: str,
        args: tuple[object, ...],
        error: BaseException | None,
        fields: Mapping[str, object],
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        extra = {_full_name(name): value for name, value in fields.items() if value is not None}
        extra[ACTION] = action
        if isinstance(seconds := extra.get("event.duration"), int | float):
            extra["event.duration"] = int(seconds * 1_000_000_000)
        self._logger.log(level, message, *args, exc_info=error, extra=extra, stacklevel=3)


def _full_name(name: str) -> str:
    return name if "." in name else FIELDS.get(name) or f"cdc.{name}"
