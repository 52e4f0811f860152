"""What a line of the log holds, and what it never holds."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

import cdc_cli
from cdc_cli.clock import SystemClock
from cdc_cli.errors import Retryable
from cdc_cli.observe.log import EventLog
from cdc_cli.observe.logging import Format, Level, LogOptions, logging_to
from cdc_cli.observe.writer import BackgroundHandler
from cdc_cli.settings.secrets import Redactor, mask_uri

CANARY = "s3cr3t-c4n4ry"
URI = f"mongodb://app:{CANARY}@db1.example:27017/game?authSource=admin"

log = EventLog("cdc_cli.workers.watch")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logging_on(
    stream: io.StringIO,
    form: Format = "json",
    level: Level = "info",
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    options = LogOptions(level, form, "game-prod", "watch", mask_uri, environment or {})
    with logging_to(stream, options, SystemClock()):
        yield


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.requirement("R10.1", "R10.2", "R10.3")
def test_a_line_is_one_json_object_with_time_service_and_operation(stream: io.StringIO) -> None:
    with logging_on(stream):
        log.info("token.saved", "saved the token of %s", "game", stream="game", duration=0.25)
    [line] = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("@timestamp"))
    assert line.pop("service.instance.id").endswith(f":{os.getpid()}")
    assert line == {
        "log.level": "info",
        "event.action": "token.saved",
        "message": "saved the token of game",
        "log.logger": "cdc_cli.workers.watch",
        "cdc.stream": "game",
        "event.duration": 250_000_000,
        "service.name": "game-prod",
        "service.version": cdc_cli.__version__,
        "cdc.command": "watch",
    }


def test_fields_have_the_names_that_log_stores_know(stream: io.StringIO) -> None:
    with logging_on(stream):
        log.info("x", "x", topic="t", partition=3, offset=7, group="g", rows=9, worker="lane-1", kind="nul")
    [line] = lines(stream)
    assert line["messaging.destination.name"] == "t"
    assert line["messaging.destination.partition.id"] == 3
    assert line["messaging.kafka.offset"] == 7
    assert line["messaging.consumer.group.name"] == "g"
    assert line["db.operation.batch.size"] == 9
    assert line["cdc.worker"] == "lane-1"
    assert line["cdc.kind"] == "nul"


def test_plain_logging_calls_carry_actions_and_fields_as_well(stream: io.StringIO) -> None:
    with logging_on(stream):
        extra = {"event.action": "retry", "error.code": "unreachable"}
        logging.getLogger("cdc_cli.x").warning("again", extra=extra)
        logging.getLogger("some.library").warning("hello")
    ours, foreign = lines(stream)
    assert (ours["event.action"], ours["error.code"], ours["log.level"]) == ("retry", "unreachable", "warn")
    assert foreign["event.action"] == "message"


@pytest.mark.requirement("R10.4")
@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(stream: io.StringIO, level: Level, expected: list[str]) -> None:
    with logging_on(stream, level=level):
        for write in (log.debug, log.info, log.warn, log.error):
            write("x", "x")
    assert [line["log.level"] for line in lines(stream)] == expected


@pytest.mark.requirement("R10.5")
def test_an_error_carries_its_stack_its_code_and_its_context(stream: io.StringIO) -> None:
    def read_from_broker() -> None:
        raise Retryable("cannot reach kafka:9092", "is it running?", "kafka.unreachable")

    with logging_on(stream):
        try:
            read_from_broker()
        except Retryable as error:
            log.error("publish.failed", "publishing failed: %s", error, error=error, topic="cdc.game.players")
    [line] = lines(stream)
    assert line["error.type"] == "cdc_cli.errors.Retryable"
    assert line["error.message"] == "cannot reach kafka:9092"
    assert line["error.code"] == "kafka.unreachable"
    assert line["cdc.hint"] == "is it running?"
    assert line["messaging.destination.name"] == "cdc.game.players"
    assert "in read_from_broker" in line["error.stack_trace"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_leaves_by_any_way_into_the_log(stream: io.StringIO, form: Format) -> None:
    redactor = Redactor([CANARY], [URI])
    options = LogOptions("debug", form, "x", "watch", redactor.clean)
    with logging_to(stream, options, SystemClock()):
        log.warn("x", "the password is " + CANARY)
        log.warn("x", "connecting to %s", URI)
        log.warn("x", "a field", note=f"password={CANARY}", more=[URI, {"deep": CANARY, URI: 1}])
        log.warn("x", "an object", thing=ValueError(URI))
        logging.getLogger("pymongo").error("auth failed for %s", URI)
        try:
            raise ConnectionError(f"connect {URI}") from ValueError(CANARY)
        except ConnectionError as error:
            log.error("x", "failed", error=error)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"deprecated: {CANARY}", UserWarning, stacklevel=1)
        thread = threading.Thread(target=lambda: int(URI), name="driver")
        thread.start()
        thread.join(30)
    text = stream.getvalue()
    assert text.count("db1.example") >= 4, "hosts stay readable"
    assert "the thread driver ended by an exception" in text
    assert "deprecated" in text
    assert CANARY not in text


def test_a_driver_s_uri_is_masked_before_the_settings_are_known(stream: io.StringIO) -> None:
    with logging_on(stream):
        log.error("x", "bad URI %s", URI, error=ValueError(URI))
    assert CANARY not in stream.getvalue()
    assert "db1.example" in stream.getvalue()


@pytest.mark.parametrize("level", ["debug", "info"])
@pytest.mark.parametrize(
    "name", ["kafka.producer.kafka", "kafka.conn", "pymongo.command", "pymongo.serverSelection"]
)
def test_drivers_never_log_at_debug_where_they_print_documents(
    stream: io.StringIO, name: str, level: Level
) -> None:
    with logging_on(stream, level=level):
        logging.getLogger(name).debug("Sending (key=%r value=%r)", b"id", b'{"email": "a@b.c"}')
        logging.getLogger(name).warning("disconnected")
    assert [line["message"] for line in lines(stream)] == ["disconnected"]


def test_what_json_cannot_hold_is_escaped_and_not_lost(stream: io.StringIO) -> None:
    with logging_on(stream):
        log.info("x", "surrogate \ud800 and huge", number=2**70, nan=float("nan"), data=b"\xff", line="a\nb")
    [line] = lines(stream)
    assert line["message"] == "surrogate \ud800 and huge"
    assert line["cdc.number"] == str(2**70)
    assert len(stream.getvalue().splitlines()) == 1


def test_people_get_one_readable_line(stream: io.StringIO) -> None:
    with logging_on(stream, "console"):
        log.warn("retry", "no answer from %s", "db1", topic="t", kind="net")
    expected = r"\d\d:\d\d:\d\d\.\d{3} WARN  no answer from db1  \[retry\]  messaging.destination.name=t  kind=net\n"
    assert re.fullmatch(expected, stream.getvalue())


def test_people_get_the_stack_of_bugs_but_not_of_expected_failures(stream: io.StringIO) -> None:
    with logging_on(stream, "console"):
        for error in (Retryable("no answer"), ValueError("a bug")):
            try:
                raise error
            except Exception as raised:
                log.error("x", "failed", error=raised)
    assert "ValueError: a bug" in stream.getvalue()
    assert stream.getvalue().count("Traceback") == 1


def test_at_debug_people_get_every_stack(stream: io.StringIO) -> None:
    with logging_on(stream, "console", "debug"):
        log.error("x", "failed", error=Retryable("no answer"))
    assert "cdc_cli.errors.Retryable: no answer" in stream.getvalue()


def test_auto_is_for_people_on_a_terminal_and_for_machines_elsewhere(stream: io.StringIO) -> None:
    terminal = Terminal()
    for target in (terminal, stream):
        with logging_on(target, "auto", environment={"NO_COLOR": "1"}):
            log.info("x", "hello")
    assert " INFO  hello" in terminal.getvalue()
    assert lines(stream)[0]["message"] == "hello"


def test_colour_is_for_terminals_that_want_it() -> None:
    choices: list[tuple[dict[str, str], bool]] = [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
    for environment, is_colored in choices:
        terminal = Terminal()
        with logging_on(terminal, "auto", environment=environment):
            log.warn("x", "hello")
        assert ("\x1b[33m" in terminal.getvalue()) is is_colored


def test_repetitions_are_counted(stream: io.StringIO) -> None:
    with logging_on(stream):
        for number in range(1000):
            log.warn("retry", "attempt %d failed", number)
    messages = [line["message"] for line in lines(stream)]
    assert messages == [*(f"attempt {n} failed" for n in range(5)), "repeated 995 times more: attempt 999 failed"]


def test_afterwards_everything_is_as_it_was(stream: io.StringIO) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, threading.excepthook, sys.unraisablehook, warnings.showwarning)
    with logging_on(stream, level="debug"):
        pass
    after = (list(root.handlers), root.level, threading.excepthook, sys.unraisablehook, warnings.showwarning)
    assert after == before
    assert logging.getLogger("kafka").level == logging.NOTSET


def test_lines_of_many_threads_are_whole(stream: io.StringIO) -> None:
    def write(number: int) -> None:
        for _ in range(200):
            log.info("x", "from %d", number)

    with logging_on(stream):
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(lines(stream)) == 1600


def test_a_full_queue_drops_lines_and_says_so(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setattr("cdc_cli.observe.writer._CAPACITY", 3)
    handler = BackgroundHandler(stream, SystemClock())
    handler.setFormatter(logging.Formatter("%(message)s"))
    for number in range(10):
        handler.handle(logging.LogRecord("x", logging.INFO, "", 0, f"line {number}", None, None))
    handler.start()
    handler.close()
    assert stream.getvalue().splitlines() == [
        "7 log lines were dropped: whoever reads this log is too slow",
        "line 0",
        "line 1",
        "line 2",
    ]


def test_a_closed_stream_does_not_disturb_who_logs(stream: io.StringIO) -> None:
    with logging_on(stream):
        stream.close()
        log.info("x", "into the void")


PROGRAM = """
import sys
from cdc_cli.clock import SystemClock
from cdc_cli.observe.log import EventLog
from cdc_cli.observe.logging import LogOptions, logging_to

with logging_to(sys.stderr, LogOptions("info", "json", "x", "watch", str), SystemClock()):
    for number in range(20_000):
        EventLog("cdc_cli.x").info("x", "line %d " + "." * 100, number)
print("ended")
"""


@pytest.mark.requirement("R9.5")
def test_a_reader_that_stopped_reading_neither_blocks_the_program_nor_its_end() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.wait(60) == 0, "nobody reads its stderr, and yet it ends"
        assert process.stdout is not None
        assert process.stdout.read() == "ended\n"
    finally:
        process.kill()
        process.communicate()
