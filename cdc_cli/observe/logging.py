"""Setting the logging of the process up, and taking it down again.

Only our own loggers go down to debug. Drivers stay at warnings (info when we are at debug): kafka-python
prints keys and values at debug, pymongo whole commands, and a log must not hold documents.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TextIO

import cdc_cli
from cdc_cli.clock import Clock
from cdc_cli.observe.formats import Clean, ConsoleFormat, JsonFormat
from cdc_cli.observe.terminal import has_color
from cdc_cli.observe.writer import BackgroundHandler

Level = Literal["debug", "info", "warn", "error"]
Format = Literal["auto", "console", "json"]

_NUMBERS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_OURS = "cdc_cli"
_DRIVERS = ("kafka", "pymongo", "redis", "retrying", "urllib3")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What is logged, how, by whom. `clean` removes secrets; `service` is the `name` of the configuration.

    `shard` is that of a watcher, empty when there is none.
    """

    level: Level
    format: Format
    service: str
    command: str
    clean: Clean
    environment: Mapping[str, str] = field(default_factory=dict)
    shard: str = ""


@contextmanager
def logging_to(stream: TextIO, options: LogOptions, clock: Clock) -> Iterator[logging.Handler]:
    """While inside: what is logged, also warnings and errors that end a thread, goes to the stream.

    On exit the last lines are written (at most two seconds) and the former state is back.
    """
    handler = BackgroundHandler(stream, clock)
    handler.setFormatter(_formatter(stream, options))
    handler.start()
    root = logging.getLogger()
    with _levels(_NUMBERS[options.level]), _hooks():
        root.addHandler(handler)
        try:
            yield handler
        finally:
            root.removeHandler(handler)
            handler.close()


def _formatter(stream: TextIO, options: LogOptions) -> logging.Formatter:
    is_console = stream.isatty() if options.format == "auto" else options.format == "console"
    if is_console:
        return ConsoleFormat(
            options.clean,
            is_colored=has_color(stream, options.environment),
            shows_stacks=options.level == "debug",
        )
    about = {
        "service.name": options.service,
        "service.version": cdc_cli.__version__,
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        "cdc.command": options.command,
    }
    if options.shard:
        about["cdc.shard"] = options.shard
    return JsonFormat(options.clean, about)


@contextmanager
def _levels(ours: int) -> Iterator[None]:
    others = logging.INFO if ours == logging.DEBUG else max(ours, logging.WARNING)
    wanted = {"": others, _OURS: ours, **dict.fromkeys(_DRIVERS, others)}
    former = {name: logging.getLogger(name).level for name in wanted}
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in former.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _hooks() -> Iterator[None]:
    """What Python would print to stderr by itself, secrets included, goes through the log."""
    former_thread, former_unraisable = threading.excepthook, sys.unraisablehook
    threading.excepthook = _thread_died
    sys.unraisablehook = _unraisable
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        threading.excepthook, sys.unraisablehook = former_thread, former_unraisable


def _thread_died(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "?"
    _tell("thread.died", "the thread %s ended by an exception", name, args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    kind = type(args.object).__name__
    _tell("error.unraisable", "an exception could not be raised in %s", kind, args.exc_value)


def _tell(action: str, message: str, what: str, error: BaseException | None) -> None:
    emit: Callable[..., None] = _log.error
    emit(message, what, exc_info=error, extra={"event.action": action})
