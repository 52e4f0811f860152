"""Telling somebody that a worker gave up: one POST to the webhook of the configuration (R12.3).

An alert never delays the end of the process by more than a few seconds, never raises, and its address, which
is a secret, never reaches a log.
"""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from cdc_cli.clock import Clock
from cdc_cli.observe.formats import Clean, timestamp
from cdc_cli.observe.log import EventLog

_TIMEOUT = 5.0
"""Seconds for the connection and for the answer; a second more for a name server that does not answer."""

log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class Alert:
    """What happened, in the words of the fatal log entry."""

    service: str
    command: str
    code: str
    exit_code: int
    message: str
    hint: str
    shard: str = ""


class Webhook:
    """Posts JSON; `text` in it is what chat services show."""

    def __init__(self, url: str, clean: Clean, clock: Clock) -> None:
        self._url = url
        self._clean = clean
        self._clock = clock

    def send(self, alert: Alert) -> bool:
        """Whether it was taken (any 2xx). Blocks up to about six seconds, tries once, never raises."""
        failures: list[str] = []
        body = self._body(alert)
        thread = threading.Thread(target=self._post, args=(body, failures), name="cdc-alert", daemon=True)
        thread.start()
        thread.join(_TIMEOUT + 1)
        if thread.is_alive():
            failures.append("no answer in time")
        if failures:
            log.error("alert.failed", "the alert webhook was not reached: %s", failures[0])
        else:
            log.info("alert.sent", "the alert webhook was told")
        return not failures

    def _body(self, alert: Alert) -> bytes:
        command = f"{alert.command}, shard {alert.shard}" if alert.shard else alert.command
        where = f"{alert.service} ({command}) on {socket.gethostname()}"
        fields: Mapping[str, object] = {
            "text": f"cdc stopped: {where}: {alert.message}",
            "time": timestamp(self._clock.time()),
            "service": alert.service,
            "command": alert.command,
            **({"shard": alert.shard} if alert.shard else {}),
            "host": socket.gethostname(),
            "code": alert.code,
            "exit_code": alert.exit_code,
            "message": alert.message,
            "hint": alert.hint,
        }
        cleaned = {k: self._clean(v) if isinstance(v, str) else v for k, v in fields.items()}
        return json.dumps(cleaned).encode()

    def _post(self, body: bytes, failures: list[str]) -> None:
        """In a thread of its own, because a time-out does not cover the look-up of the name."""
        try:
            if not self._url.lower().startswith(("http://", "https://")):
                raise ValueError("not an http:// or https:// address")
            headers = {"Content-Type": "application/json", "User-Agent": "cdc"}
            request = urllib.request.Request(self._url, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=_TIMEOUT):
                pass
        except Exception as error:
            failures.append(_reason(error))


def _reason(error: Exception) -> str:
    """Its kind, and its text only where it is known not to hold the address."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    if isinstance(inner, OSError) and inner.strerror:
        return f"{type(inner).__name__}: {inner.strerror}"
    return type(inner).__name__
