"""How a log record looks: one JSON object a line for machines, one readable line for people (R10.1-R10.3).

Both take every text through `clean`, so that no secret leaves the process, not even in a driver's message or
in a stack trace (invariant I10).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from pythonjsonlogger.core import RESERVED_ATTRS, BaseJsonFormatter

from cdc_cli.errors import CdcError
from cdc_cli.observe.log import ACTION

Clean = Callable[[str], str]

LEVELS: Mapping[int, str] = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "error",
}
_STANDARD = frozenset(RESERVED_ATTRS) | {"taskName"}
_COLORS = {"debug": "2", "info": "32", "warn": "33", "error": "1;31"}


class JsonFormat(BaseJsonFormatter):
    """Field names of the Elastic Common Schema and of OpenTelemetry; `about` stands in every line."""

    def __init__(self, clean: Clean, about: Mapping[str, str]) -> None:
        super().__init__(["levelname", "message", "name"], rename_fields={"name": "log.logger"})
        self._clean = clean
        self._about = about

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """The object of one line, in the order in which people look for things."""
        log_data["@timestamp"] = timestamp(record.created)
        log_data["log.level"] = LEVELS.get(record.levelno, record.levelname.lower())
        log_data[ACTION] = "message"
        super().add_fields(log_data, record, {})
        del log_data["levelname"]
        log_data.update(self._about)
        if record.exc_info and (error := record.exc_info[1]) is not None:
            log_data.update(_error_fields(error))
            log_data["error.stack_trace"] = message_dict.get("exc_info", "")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Without secrets."""
        return {name: _cleaned(value, self._clean) for name, value in log_data.items()}

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """One line; what JSON cannot hold (lone surrogates, huge integers) is escaped, never refused."""
        try:
            return orjson.dumps(log_data).decode()
        except TypeError:
            return json.dumps({name: str(value) for name, value in log_data.items()})


class ConsoleFormat(logging.Formatter):
    """`12:01:06.123 WARN  message  [action]  name=value`. Stack traces of unexpected failures only."""

    def __init__(self, clean: Clean, *, is_colored: bool, shows_stacks: bool) -> None:
        super().__init__()
        self._clean = clean
        self._is_colored = is_colored
        self._shows_stacks = shows_stacks

    def format(self, record: logging.LogRecord) -> str:
        """One line in local time, more with a stack trace."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level = LEVELS.get(record.levelno, record.levelname.lower())
        name = f"{level.upper():5}"
        if self._is_colored:
            name = f"\x1b[{_COLORS.get(level, '0')}m{name}\x1b[0m"
        action = record.__dict__.get(ACTION)
        fields = [f"{key.removeprefix('cdc.')}={value}" for key, value in _fields(record).items()]
        parts = [record.getMessage(), *([f"[{action}]"] if action else []), *fields]
        text = f"{time} {name} {'  '.join(parts)}"
        is_expected = record.exc_info is not None and isinstance(record.exc_info[1], CdcError)
        if record.exc_info and (self._shows_stacks or not is_expected):
            text += "\n" + self.formatException(record.exc_info)
        return self._clean(text)


def timestamp(epoch: float) -> str:
    """`2026-11-23T12:01:06.123456Z`."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {k: v for k, v in record.__dict__.items() if k not in _STANDARD and k != ACTION}


def _error_fields(error: BaseException) -> dict[str, str]:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    fields = {"error.type": name, "error.message": str(error)}
    if isinstance(error, CdcError):
        fields["error.code"] = error.code
        if error.hint:
            fields["cdc.hint"] = error.hint
    return fields


def _cleaned(value: object, clean: Clean) -> object:
    """The value with every text in it cleaned; anything that is not JSON becomes text first."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item, clean) for item in value]
    return clean(str(value))
