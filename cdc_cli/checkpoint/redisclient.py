"""The one place that talks to the redis driver: bounded waits, and its errors turned into ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from redis import exceptions as errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from cdc_cli.errors import CdcError, ConfigError, Denied, Retryable

T = TypeVar("T")

_TIMEOUT = 5.0
_DENIED = (errors.AuthenticationError, errors.NoPermissionError, errors.AuthorizationError)
_NO_AOF = (
    "Redis keeps its data in memory only (appendonly no, no save points): after its restart the token is "
    "gone and the watcher would begin anew; set appendonly yes"
)


class RedisClient:
    """Connects when it is first used. Every call ends within about ten seconds; thread-safe."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that cannot be one; the URL may hold a password and is never shown."""
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                # once more at once: a pooled connection may have been closed by a restart of the server
                retry=Retry(NoBackoff(), 1),
                client_name="cdc",
            )
        except (ValueError, TypeError) as exc:
            raise ConfigError(
                "token_store.redis.url is not a Redis URL", "write it as redis://host:6379/0 or rediss://..."
            ) from exc

    @property
    def address(self) -> str:
        """`host:port/database`, or the path of a socket."""
        options = self._redis.connection_pool.connection_kwargs
        where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        return f"{where}/{options.get('db', 0)}"

    def eval(self, script: str, keys: list[str], args: list[Any]) -> Any:
        """Run a Lua script. Raises Retryable, Denied, ConfigError."""
        return self._translated(lambda: self._redis.eval(script, len(keys), *keys, *args))

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._redis.close()

    def durability_warnings(self) -> list[str]:
        """Why a token might not outlive a restart or a full memory; raises Retryable."""
        names = ("appendonly", "save", "maxmemory*")
        try:
            settings = self._translated(lambda: dict(self._redis.config_get(*names)))
        except (Denied, ConfigError):
            return ["Redis does not show us its configuration: make sure that it persists and never evicts"]
        found = []
        if settings.get("appendonly") == "no" and not settings.get("save"):
            found.append(_NO_AOF)
        policy, limit = str(settings.get("maxmemory-policy", "")), str(settings.get("maxmemory", "0"))
        if policy.startswith("allkeys-") and limit != "0":
            found.append(
                f"Redis may evict the token when its memory is full (maxmemory-policy {policy}): "
                "use noeviction or a volatile- policy"
            )
        return found

    def _translated(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except errors.RedisError as exc:
            raise self._error(exc) from exc

    def _error(self, exc: errors.RedisError) -> CdcError:
        text = f"Redis at {self.address}: {exc}"
        if isinstance(exc, _DENIED) or str(exc).startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
            return Denied(text, "correct user, password or rights (EVAL, GET, SET, HSET ...) of that user")
        if str(exc).startswith("WRONGTYPE"):
            return ConfigError(
                f"{text}: a key of ours holds something else", "choose another token_store.redis.key_prefix"
            )
        if "unknown command" in str(exc):
            return ConfigError(text, "cdc needs a Redis or Valkey server that allows this command")
        if "CERTIFICATE_VERIFY_FAILED" in str(exc):
            hint = "check ssl_ca_certs in token_store.redis.url, and that its host is the one in the certificate"
            return ConfigError(text, hint, "redis.tls")
        hint = "check that Redis is running, reachable and has memory left"
        return Retryable(text, hint, "redis.unreachable")
