"""The small HTTP server for probes, Prometheus and people: `/livez /readyz /metrics /status`. Read-only."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import cdc_cli
from cdc_cli.errors import ConfigError
from cdc_cli.observe.health import Health
from cdc_cli.observe.log import EventLog

_TIMEOUT = 5.0
"""Seconds for a client to send its request and to take the answer."""
_CLIENTS = 16
"""Requests at once; more are refused, so that nobody can make us start threads without end (invariant I7)."""
_BIND = re.compile(r"^(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})$")

log = EventLog(__name__)


class Pages(NamedTuple):
    """What the pages show. Each is called per request, in a thread of the server; must not block for long."""

    health: Health
    metrics: Callable[[], str]
    status: Callable[[], Mapping[str, Any]]


class Answer(NamedTuple):
    """One response."""

    code: int
    content_type: str
    body: str


def parse_bind(bind: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9464`, `[::1]:9464`, `:9464` (all addresses). Raises ConfigError."""
    match = _BIND.match(bind.strip())
    if match is None or int(match["port"]) > 65535:
        raise ConfigError(f"http.bind: {bind!r} is not an address", "write host:port, such as 127.0.0.1:9464")
    return match["ipv6"] or match["host"] or "0.0.0.0", int(match["port"])


class StatusServer:
    """`start` listens, `close` ends it; in between requests are answered by threads of the server."""

    def __init__(self, bind: str, pages: Pages) -> None:
        self._bind = bind
        self._pages = pages
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> tuple[str, int]:
        """Listen; what was bound (port 0 chooses a free one). Raises ConfigError when it is taken."""
        host, port = parse_bind(self._bind)
        try:
            self._server = _Server((host, port), self._pages)
        except OSError as error:
            reason = error.strerror or str(error)
            hint = "another process may listen there: set http.bind, or http.enabled to false"
            raise ConfigError(f"http.bind: cannot listen on {self._bind}: {reason}", hint) from error
        bound = self._server.server_address
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="cdc-http", daemon=True
        )
        self._thread.start()
        log.info("http.started", "probes and metrics on http://%s:%d", host, bound[1])
        return host, int(bound[1])

    def close(self) -> None:
        """Stop listening; harmless when never started, or twice."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        server.server_close()
        self._thread.join(timeout=1)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    block_on_close = False

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        self._places = threading.BoundedSemaphore(_CLIENTS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, while there is room."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT
    server_version = f"cdc/{cdc_cli.__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a page."""
        path, _, query = self.path.partition("?")
        code, content_type, body = answer(self.server.pages, path, "verbose" in query)
        data = body.encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds: not worth a line."""


def answer(pages: Pages, path: str, is_verbose: bool) -> Answer:
    """The response to a path. Never raises: a page that fails answers 500."""
    try:
        if path in ("/livez", "/healthz"):
            return _verdict(pages.health.is_alive, pages.health.loops(), is_verbose)
        if path == "/readyz":
            checks = {**pages.health.loops(), **pages.health.checks()}
            return _verdict(pages.health.is_ready, checks, is_verbose)
        if path == "/metrics":
            return Answer(200, "text/plain; version=0.0.4; charset=utf-8", pages.metrics())
        if path == "/status":
            return Answer(200, "application/json", json.dumps(pages.status(), default=str))
    except Exception as error:
        log.error("http.failed", "the page %s failed: %s", path, error, error=error)
        return _text(500, "failed, see the log\n")
    return _text(404, "not found: /livez /readyz /metrics /status\n")


def _verdict(is_fine: bool, checks: Mapping[str, bool], is_verbose: bool) -> Answer:
    lines = [f"{'ok  ' if fine else 'FAIL'} {name}\n" for name, fine in checks.items()] if is_verbose else []
    return _text(200 if is_fine else 503, "".join([*lines, "ok\n" if is_fine else "not ok\n"]))


def _text(code: int, body: str) -> Answer:
    return Answer(code, "text/plain; charset=utf-8", body)
