"""The HTTP server, asked over a real socket of this machine."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from cdc_cli.errors import ConfigError
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import Health
from cdc_cli.observe.http import Pages, StatusServer, parse_bind
from cdc_cli.observe.metrics import render
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(clock)


@pytest.fixture
def server(health: Health) -> Iterator[StatusServer]:
    made = StatusServer("127.0.0.1:0", Pages(health, lambda: render(Counters()), lambda: {"lag": 0.5}))
    yield made
    made.close()


def get(address: tuple[str, int], path: str) -> tuple[int, str]:
    url = f"http://{address[0]}:{address[1]}{path}"
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_answer_what_the_health_is(server: StatusServer, health: Health, clock: ManualClock) -> None:
    address = server.start()
    health.expect_beats("watch", 30)
    health.expect_check("kafka")
    assert get(address, "/livez") == (200, "ok\n")
    assert get(address, "/healthz") == (200, "ok\n")
    assert get(address, "/readyz") == (503, "not ok\n")
    assert get(address, "/readyz?verbose") == (503, "ok   watch\nFAIL kafka\nnot ok\n")
    health.report_check("kafka", True)
    assert get(address, "/readyz") == (200, "ok\n")
    clock.tick(31)
    assert get(address, "/livez") == (503, "not ok\n")


def test_metrics_and_status(server: StatusServer) -> None:
    address = server.start()
    code, text = get(address, "/metrics")
    assert code == 200
    assert "\ncdc_events_read_total 0\n" in text
    assert json.loads(get(address, "/status")[1]) == {"lag": 0.5}


def test_what_does_not_exist_is_not_found_and_nothing_can_be_changed(server: StatusServer) -> None:
    address = server.start()
    assert get(address, "/etc/passwd")[0] == 404
    request = urllib.request.Request(f"http://{address[0]}:{address[1]}/status", b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=30)
    with raised.value as error:
        assert error.code == 501


def test_a_page_that_fails_answers_500_and_is_logged(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise RuntimeError("no numbers")

    server = StatusServer("127.0.0.1:0", Pages(health, broken, dict))
    address = server.start()
    try:
        assert get(address, "/metrics")[0] == 500
        assert get(address, "/livez")[0] == 200
    finally:
        server.close()
    assert "no numbers" in caplog.text


def test_an_address_that_is_taken_is_a_configuration_error(health: Health) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"cannot listen on {bind}: Address already in use") as raised:
            StatusServer(bind, Pages(health, str, dict)).start()
    assert "http.enabled" in raised.value.hint


def test_closing_frees_the_port_and_ends_the_thread(server: StatusServer) -> None:
    address = server.start()
    server.close()
    server.close()
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=5)
    assert "cdc-http" not in {thread.name for thread in threading.enumerate()}


def test_idle_clients_take_a_limited_number_of_threads(server: StatusServer) -> None:
    address = server.start()
    before = threading.active_count()
    clients = [socket.create_connection(address, timeout=30) for _ in range(40)]
    try:
        refused = sum(client.recv(1) == b"" for client in clients[16:])
        assert refused == 24
        assert threading.active_count() - before <= 16
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        (":80", ("0.0.0.0", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(bind: str, expected: tuple[str, int]) -> None:
    assert parse_bind(bind) == expected


@pytest.mark.parametrize("bind", ["9464", "localhost", "localhost:", "a:b:1", "::1:80", "h:70000", ""])
def test_what_is_no_address_is_refused(bind: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        parse_bind(bind)
