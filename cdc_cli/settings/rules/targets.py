"""Rules about PostgreSQL, the token store, and where alerts and health go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from cdc_cli.settings.models import Settings
from cdc_cli.settings.rules.problem import Problem, Rule, conflict, invalid, warning

_KEYWORDS = re.compile(r"\s*(?:\w+\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?:\s+|$))+$")
_BIND = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]*)):(?P<port>\d{1,5})$")


def dsn(settings: Settings) -> Iterator[Problem]:
    """The two forms of libpq; an empty string would silently mean its environment variables."""
    text = settings.postgres.dsn.get_secret_value()
    if not text.startswith(("postgres://", "postgresql://")) and not _KEYWORDS.match(text):
        message = "postgresql://user:password@host/database or host=... dbname=... is expected"
        yield invalid("postgres.dsn", message, "values with spaces need single quotes")


def userinfo(settings: Settings) -> Iterator[Problem]:
    """A password with @ or / in it ends too early: the rest is taken for a host, and told to everybody."""
    uris = {
        "mongodb.uri": settings.mongodb.uri,
        "postgres.dsn": settings.postgres.dsn,
        "token_store.redis.url": settings.token_store.redis.url,
    }
    for path, uri in uris.items():
        _, separator, rest = uri.get_secret_value().partition("://")
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        if separator and rest.count("@") > (1 if "@" in authority else 0):
            message = "the characters @ : / ? # in user and password must be URL-encoded"
            yield invalid(path, message, "@ is %40")


def schema(settings: Settings) -> Iterator[Problem]:
    """PostgreSQL's own schemas are not ours to write to."""
    name = settings.postgres.schema_
    if name.startswith("pg_") or name == "information_schema":
        yield invalid("postgres.schema", "this schema belongs to PostgreSQL")
    elif len(name.encode()) > 63 or "\0" in name:
        yield invalid("postgres.schema", "PostgreSQL allows at most 63 bytes in a name")
    elif name == "cdc":
        yield invalid("postgres.schema", "the schema cdc is for our own tables (offsets, tombstones)")


def pool(settings: Settings) -> Iterator[Problem]:
    """Bounds in order, and enough connections for the workers."""
    postgres, workers = settings.postgres, settings.syncer.workers
    path = "postgres.pool.max"
    if postgres.pool.min > postgres.pool.max:
        yield conflict("postgres.pool.min", path, f"min must not be more than max ({postgres.pool.max})")
    elif workers > postgres.pool.max:
        message = f"{workers} workers share {postgres.pool.max} connections: some will wait"
        yield warning("workers_wait", "syncer.workers", message, "a larger postgres.pool.max", path)
    if postgres.max_concurrent_writes > postgres.pool.max:
        message = f"there are only {postgres.pool.max} connections (postgres.pool.max)"
        yield conflict("postgres.max_concurrent_writes", path, message)


def token_store(settings: Settings) -> Iterator[Problem]:
    """redis-py's three schemes, and keys that can be told apart."""
    redis = settings.token_store.redis
    if not redis.url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        yield invalid("token_store.redis.url", "it must begin with redis://, rediss:// or unix://")
    if re.search(r"[{}]", redis.key_prefix.replace("{name}", "")):
        yield invalid("token_store.redis.key_prefix", "only {name} can be used as a placeholder")


def webhook(settings: Settings) -> Iterator[Problem]:
    """A URL to which a message can be posted."""
    url = settings.alerts.webhook
    if url is not None and not re.match(r"https?://[^/\s]+", url.get_secret_value()):
        yield invalid("alerts.webhook", "an http:// or https:// URL is expected")


def http(settings: Settings) -> Iterator[Problem]:
    """address:port; the server has no log-in."""
    match = _BIND.match(settings.http.bind)
    if match is None or int(match["port"]) > 65535:
        yield invalid("http.bind", "address:port is expected, such as 127.0.0.1:9464")
    elif settings.http.enabled and not _is_local(match["v6"] or match["host"] or ""):
        message = "everybody who reaches this address can read the status"
        yield warning("public_status", "http.bind", message, "127.0.0.1, or a network policy", "http.enabled")


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


RULES: tuple[Rule, ...] = (dsn, userinfo, schema, pool, token_store, webhook, http)
