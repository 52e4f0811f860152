"""The place of the resume token in a long run, Redis or a file: who leads, where it stands, and losing it.

Looks past the proxies and without any code of the product.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import redis


class TokenPlace(Protocol):
    """What the run needs of it."""

    def leader(self) -> int | None:
        """The pid of the watcher that leads, None = nobody or unknown."""

    def position(self) -> str | None:
        """The position of the stored token. Raises OSError or RedisError when it cannot be read."""

    def lose(self, everything: bool) -> None:
        """Deletes the token; with `everything` also all traces of there ever having been one."""


class InRedis:
    """`prefix` is what its keys begin with."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix

    def leader(self) -> int | None:
        try:
            with self._client() as client:
                lease = client.get(f"{self._prefix}token:lease")
        except redis.RedisError:
            return None
        return _pid(json.loads(lease.partition(b" ")[2])) if isinstance(lease, bytes) else None

    def position(self) -> str | None:
        with self._client() as client:
            return _position(client.hget(f"{self._prefix}token", "record"))

    def lose(self, everything: bool) -> None:
        with self._client() as client:
            keys = list(client.scan_iter(match=f"{self._prefix}*")) if everything else [f"{self._prefix}token"]
            client.delete(*keys)

    def _client(self) -> Any:
        return redis.Redis.from_url(self._url, socket_timeout=2, socket_connect_timeout=2)


class InFile:
    """`path` is token_store.file.path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def leader(self) -> int | None:
        try:
            return _pid(json.loads(self._path.with_name(f"{self._path.name}.lock").read_bytes()))
        except (OSError, ValueError):
            return None

    def position(self) -> str | None:
        return _position(self._path.read_bytes() if self._path.exists() else None)

    def lose(self, everything: bool) -> None:
        for path in self._path.parent.glob(f"{self._path.name}*") if everything else [self._path]:
            path.unlink(missing_ok=True)


def _pid(signature: Any) -> int:
    return int(json.loads(signature["holder"])["writer"]["pid"])


def _position(record: Any) -> str | None:
    if not record:
        return None
    found: str | None = json.loads(record)["record"]["position"]
    return found
