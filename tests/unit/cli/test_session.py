"""Around every command: how it ends, what it says then, and to whom."""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer

from cdc_cli.cli.options import LogFormat, LogLevel
from cdc_cli.cli.output import OutputFormat
from cdc_cli.cli.session import Session, open_session
from cdc_cli.errors import (
    CdcError,
    ConfigError,
    Denied,
    ExitCode,
    Fatal,
    PoisonEvent,
    PositionLost,
    Retryable,
    Terminated,
    TryLater,
)
from cdc_cli.retry import Stopped

CANARY = "s3cr3t-c4n4ry"

Body = Callable[[Session], None]


def raising(error: BaseException) -> Body:
    def body(session: Session) -> None:
        raise error

    return body


def ends_with(body: Body, **options: Any) -> int:
    """The exit code of a command with that body."""
    options = {"needs_config": False, **options}
    try:
        with open_session("token.show", **options) as session:
            body(session)
    except typer.Exit as end:
        return end.exit_code
    return 0


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and an environment without any configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.touch(0o600)
    path.write_text(
        f"name: game-prod\n"
        f"mongodb: {{uri: 'mongodb://app:{CANARY}@db1/?replicaSet=rs0', database: game}}\n"
        f"kafka: {{bootstrap_servers: ['kafka:9092']}}\n"
        f"postgres: {{dsn: 'postgresql://app:{CANARY}@pg1/game'}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 78),
        (Retryable("x"), 69),
        (PoisonEvent("x"), 81),
        (PositionLost("x"), 80),
        (Denied("x"), 77),
        (TryLater("x"), 75),
        (Fatal("x"), 70),
        (Fatal("x", exit_code=ExitCode.UNREACHABLE), 69),
        (ValueError("x"), 70),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (typer.Exit(1), 1),
        (Stopped("x"), 0),
    ],
)
@pytest.mark.parametrize("is_service", [False, True])
def test_every_failure_has_its_exit_code(error: BaseException, code: int, is_service: bool) -> None:
    assert ends_with(raising(error), is_service=is_service) == code


def test_an_expected_failure_is_one_sentence_and_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    error = Retryable("cannot reach MongoDB at db1:27017: connection refused", "is mongod running there?")
    ends_with(raising(error))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: cannot reach MongoDB at db1:27017: connection refused\nhint: is mongod running there?\n"
    )


def test_with_v_the_causes_are_told_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    error = Retryable("cannot reach MongoDB")
    error.__cause__ = OSError(f"connect to mongodb://app:{CANARY}@db1/\nrefused")
    ends_with(raising(error), verbose=True, log_format=LogFormat.JSON)
    err = capsys.readouterr().err
    assert "caused by: OSError: connect to mongodb://********@db1/ refused\n" in err
    assert CANARY not in err


def test_a_bug_is_one_line_and_its_stack_is_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(raising(KeyError(f"mongodb://app:{CANARY}@db1/\nand more")), log_format=LogFormat.JSON)
    log, sentence = capsys.readouterr().err.splitlines()
    assert sentence.startswith("error: a bug in cdc: KeyError: 'mongodb://********@db1/")
    assert "in body" in json.loads(log)["error.stack_trace"]
    assert CANARY not in log + sentence


def test_the_failure_stands_in_the_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(raising(Denied("no right to read game", "grant it")), output=OutputFormat.JSON)
    assert json.loads(capsys.readouterr().out) == {
        "command": "token.show",
        "schema": 1,
        "ok": False,
        "summary": {},
        "result": None,
        "error": {
            "code": "denied",
            "message": "no right to read game",
            "suggestion": "grant it",
            "config_path": None,
            "file": None,
            "line": None,
            "column": None,
        },
    }


@pytest.mark.requirement("R11.4")
def test_mistakes_in_the_configuration_are_all_listed_with_their_places(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text() + "syncr: {}\nwatcher: {heartbeat: 5}\n")
    code = ends_with(raising(AssertionError()), config=[config], output=OutputFormat.JSON, needs_config=True)
    assert code == ExitCode.CONFIG
    out, err = capsys.readouterr()
    assert f"{config}:5:1" in err
    assert f"{config}:6:" in err
    envelope = json.loads(out)
    assert len(envelope["result"]["findings"]) == 2
    assert (envelope["error"]["file"], envelope["error"]["line"], envelope["error"]["column"]) == (str(config), 5, 1)


def test_the_settings_are_loaded_with_their_overrides(config: Path) -> None:
    seen: list[int] = []
    code = ends_with(
        lambda session: seen.append(session.settings.syncer.workers),
        config=[config],
        overrides=["syncer.workers=3"],
        needs_config=True,
    )
    assert (seen, code) == ([3], 0)


def test_secrets_of_the_configuration_are_known_to_every_message(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = Retryable(f"driver said {CANARY}", f"hint {CANARY}")
    for form in OutputFormat:
        for is_service in (False, True):
            ends_with(raising(error), config=[config], needs_config=True, output=form, is_service=is_service)
    out, err = capsys.readouterr()
    assert err.count("error: driver said ********") == 2 * len(OutputFormat)
    assert CANARY not in out + err


@pytest.mark.requirement("R12.3")
def test_a_service_that_gives_up_writes_a_fatal_entry(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = Fatal("gave up: Kafka failed 8 times", "start it", "kafka.unreachable", ExitCode.UNREACHABLE)
    ends_with(raising(error), config=[config], needs_config=True, is_service=True, log_format=LogFormat.JSON)
    entry = json.loads(capsys.readouterr().err.splitlines()[0])
    assert entry["log.level"] == "error"
    assert entry["event.action"] == "worker.gave_up"
    assert entry["message"] == "fatal: token.show stops: gave up: Kafka failed 8 times"
    assert entry["error.code"] == "kafka.unreachable"
    assert entry["cdc.exit_code"] == 69
    assert entry["service.name"] == "game-prod"
    assert "raise error" in entry["error.stack_trace"]


class Chat(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def chat() -> Iterator[Chat]:
    with Chat() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(30)


@pytest.mark.requirement("R12.3")
def test_operators_are_alerted_once_when_a_service_gives_up(config: Path, chat: Chat) -> None:
    def body(session: Session) -> None:
        error = Fatal("gave up: Kafka failed 8 times", exit_code=ExitCode.UNREACHABLE)
        session.report(error)
        raise error

    with config.open("a") as file:
        file.write(f"alerts: {{webhook: 'http://127.0.0.1:{chat.server_port}/{CANARY}'}}\n")
    code = ends_with(body, config=[config], needs_config=True, is_service=True)
    assert code == ExitCode.UNREACHABLE
    assert [alert["message"] for alert in chat.received] == ["gave up: Kafka failed 8 times"]


@pytest.mark.parametrize(("error", "is_service"), [(TryLater("another watcher"), True), (Fatal("x"), False)])
def test_nobody_is_alerted_for_a_watcher_that_waits_its_turn_or_a_command_somebody_typed(
    config: Path, chat: Chat, error: CdcError, is_service: bool
) -> None:
    with config.open("a") as file:
        file.write(f"alerts: {{webhook: 'http://127.0.0.1:{chat.server_port}/{CANARY}'}}\n")
    ends_with(raising(error), config=[config], needs_config=True, is_service=is_service)
    assert chat.received == []


@pytest.mark.requirement("R9.5")
def test_a_service_that_drained_confirms_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def body(session: Session) -> None:
        session.stop.set()
        raise Stopped("connecting")

    code = ends_with(body, config=[config], needs_config=True, is_service=True, log_format=LogFormat.JSON)
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert code == 0
    assert [entry["event.action"] for entry in entries] == ["shutdown.completed"]
    assert entries[0]["event.outcome"] == "success"


def test_commands_are_quiet_and_services_are_not(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def body(session: Session) -> None:
        logging.getLogger("cdc_cli.x").info("hello")

    written = []
    for options in ({}, {"is_service": True}, {"log_level": LogLevel.INFO}, {"is_service": True, "verbose": True}):
        ends_with(body, config=[config], needs_config=True, **options)
        written.append("hello" in capsys.readouterr().err)
    assert written == [False, True, True, True]


def test_the_end_takes_logging_and_signals_down(config: Path) -> None:
    handlers = list(logging.getLogger().handlers)
    for error in (Fatal("x"), ValueError("x")):
        ends_with(raising(error), config=[config], needs_config=True, is_service=True)
    assert list(logging.getLogger().handlers) == handlers
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("cdc-")]
    for thread in ours:
        thread.join(30)
    assert not any(thread.is_alive() for thread in ours)


def test_a_usage_error_inside_a_command_stays_one() -> None:
    with pytest.raises(typer.BadParameter), open_session("x", needs_config=False):
        raise typer.BadParameter("not a time")


def test_a_command_without_configuration_has_no_settings() -> None:
    with open_session("demo", needs_config=False) as session, pytest.raises(LookupError):
        _ = session.settings


def test_a_broken_pipe_is_left_to_typer() -> None:
    with pytest.raises(BrokenPipeError), open_session("x", needs_config=False):
        raise BrokenPipeError


def test_output_survives_a_closed_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    with suppress(typer.Exit, ValueError):
        ends_with(raising(Fatal("x")))


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("is_service", [False, True])
def test_a_warning_is_a_sentence_for_a_person_and_a_log_line_for_everybody_else(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
    is_service: bool,
) -> None:
    config.chmod(0o644)
    config.write_text(config.read_text() + "logging: {format: json}\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    ends_with(lambda _: None, config=[config], needs_config=True, is_service=is_service)
    wanted = "warning[config.readable_secret]  mongodb.uri"
    lines = [line for line in capsys.readouterr().err.splitlines() if wanted in line]
    assert len(lines) == 1
    assert lines[0].startswith("{") != (is_terminal and not is_service)
