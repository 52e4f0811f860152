"""The webhook, a real HTTP server of this machine."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cdc_cli.observe.alerts import Alert, Webhook
from cdc_cli.settings.secrets import mask_uri
from tests.support.clock import ManualClock

SECRET_PATH = "/services/T0/B0/s3cr3t-c4n4ry"
ALERT = Alert("game-prod", "watch", "unreachable", 69, "gave up: mongodb://u:p4ssw0rd@db1 failed", "is it up?")


class Chat(HTTPServer):
    """Takes what is posted, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.received: list[tuple[str, str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{SECRET_PATH}"


class _Handler(BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.path, self.headers["Content-Type"], body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
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


def webhook(url: str) -> Webhook:
    return Webhook(url, mask_uri, ManualClock(1764046833.2))


@pytest.mark.requirement("R12.3")
def test_the_operators_are_told_what_stopped_and_why(chat: Chat) -> None:
    assert webhook(chat.url).send(ALERT)
    [(path, content_type, body)] = chat.received
    assert (path, content_type) == (SECRET_PATH, "application/json")
    assert body == {
        "text": f"cdc stopped: game-prod (watch) on {socket.gethostname()}: gave up: mongodb://********@db1 failed",
        "time": "2025-11-25T05:00:33.200000Z",
        "service": "game-prod",
        "command": "watch",
        "host": socket.gethostname(),
        "code": "unreachable",
        "exit_code": 69,
        "message": "gave up: mongodb://********@db1 failed",
        "hint": "is it up?",
    }


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_webhook_that_refuses_is_logged_once_and_raises_nothing(
    chat: Chat, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    chat.status = status
    assert not webhook(chat.url).send(ALERT)
    assert len(chat.received) == 1
    assert f"HTTP status {status}" in caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/services/s3cr3t-c4n4ry",
        "http://s3cr3t-c4n4ry.invalid/",
        "http://127.0.0.1:notaport/s3cr3t-c4n4ry",
        "http://127.0.0.1:1/s3cr3t-c4n4ry with space",
        "http://127.0.0.1:1/s3cr3t-c4n4ry\r\nX: y",
        "file:///etc/passwd?s3cr3t-c4n4ry",
        "s3cr3t-c4n4ry",
    ],
)
def test_whatever_is_wrong_with_the_address_it_is_not_printed(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert not webhook(url).send(ALERT)
    assert "the alert webhook was not reached" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_webhook_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cdc_cli.observe.alerts._TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/").send(ALERT)
    assert "the alert webhook was not reached" in caplog.text
