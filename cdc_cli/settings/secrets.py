"""Which keys are secret, and how a secret is kept out of every text that leaves the process (invariant I10).

`mask_uri` knows shapes (`scheme://user:password@`, `password=...`), `Redactor` knows the values of this very
configuration. Drivers put both into their messages, so log lines go through `Redactor.clean`: it knows both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote

from cdc_cli.settings.models import Settings

MASK = "********"

SECRET_KEYS: tuple[str, ...] = (
    "mongodb.uri",
    "kafka.security.password",
    "postgres.dsn",
    "token_store.redis.url",
    "alerts.webhook",
)
"""Every secret key of cdc.yaml; each has a twin `<key>_file` that names a file with the value."""

_MIN_LENGTH = 4
"""A shorter secret is only masked where its shape gives it away: replacing every "a" would destroy texts."""

# Greedy up to the last "@": a password may hold "/", ":" or "@" that its owner forgot to encode.
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s\"<>]*@")
_NAME = r"[a-z0-9_.-]*(?:pass(?:word|wd|phrase)?|passfile_?key|secret|token|api_?key|access_?key)"
_QUERY = re.compile(rf"(?i)([?&;](?:{_NAME}|authmechanismproperties)=)[^&#\s\"]*")
_KEYWORD = re.compile(r"(?i)(\b[a-z0-9_.-]*pass(?:word|wd|phrase)\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&'\",;)]+)")
_DSN_PASSWORD = re.compile(r"(?i)\b(?:ssl)?password\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)")
_QUERY_VALUE = re.compile(rf"(?i)[?&;](?:{_NAME})=([^&#\s]*)")
_TOKEN_PROPERTY = re.compile(r"(?i)authmechanismproperties=[^&#\s]*?_token(?::|%3A)([^&#\s,]*)")


def mask_uri(text: str) -> str:
    """A URI, DSN or any text with them: hosts and names stay, user:password and secret parameters go."""
    if "://" in text:
        text = _USERINFO.sub(rf"\g<1>{MASK}@", text)
    if "=" in text:
        text = _QUERY.sub(rf"\g<1>{MASK}", text)
        text = _KEYWORD.sub(rf"\g<1>{MASK}", text)
    return text


def mask_secret(path: str, value: str) -> str:
    """How the secret at this dotted path is shown: URIs keep their host, everything else is asterisks."""
    if path == "alerts.webhook":
        return _mask_webhook(value)
    if path in SECRET_KEYS and path != "kafka.security.password" and _looks_like_address(value):
        return mask_uri(value)
    return MASK


def carries_secret(path: str, value: str) -> bool:
    """Whether this value of a secret key must stay out of a process list; `mongodb://localhost` need not."""
    return mask_secret(path, value) != value


class Redactor:
    """Removes the secrets of one configuration from any text, also in URL-encoded and escaped spelling."""

    def __init__(self, secrets: Iterable[str], addresses: Iterable[str] = ()) -> None:
        """`secrets` disappear; `addresses` (whole URIs and DSNs) are replaced by their masked form."""
        self._replacements = {form: mask_uri(address) for address in addresses for form in _forms(address)}
        for secret in secrets:
            self._replacements.update({form: MASK for form in _forms(secret) if len(form) >= _MIN_LENGTH})
        longest_first = sorted(self._replacements, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @classmethod
    def of(cls, settings: Settings) -> Redactor:
        """The secrets of these settings, with the passwords inside their URIs and DSNs."""
        mongodb = settings.mongodb.uri.get_secret_value()
        redis = settings.token_store.redis.url.get_secret_value()
        postgres = settings.postgres.dsn.get_secret_value()
        secrets = [*_passwords(mongodb), *_passwords(redis), *_passwords(postgres)]
        if settings.kafka.security.password is not None:
            secrets.append(settings.kafka.security.password.get_secret_value())
        if settings.alerts.webhook is not None:
            secrets += _webhook_secrets(settings.alerts.webhook.get_secret_value())
        addresses = [uri for uri in (mongodb, redis, postgres) if mask_uri(uri) != uri]
        return cls(secrets, addresses)

    def clean(self, text: str) -> str:
        """The text without secrets; unchanged when there are none."""
        if self._pattern is not None:
            text = self._pattern.sub(lambda match: self._replacements[match[0]], text)
        return mask_uri(text)


def _forms(secret: str) -> set[str]:
    """The spellings in which a driver or a formatter may print it."""
    plain = {secret, unquote(secret)}
    encoded = {quote(form, safe="") for form in plain} | {quote_plus(form) for form in plain}
    escaped = {json.dumps(form)[1:-1] for form in plain} | {repr(form)[1:-1] for form in plain}
    return {form for form in plain | encoded | escaped if form}


def _passwords(address: str) -> Iterator[str]:
    """The passwords inside a URI or a libpq keyword string."""
    if "://" in address:
        userinfo, at, _ = address.split("://", 1)[1].rpartition("@")
        _, colon, password = userinfo.partition(":")
        if at and colon:
            yield password
        yield from _QUERY_VALUE.findall(address)
        yield from _TOKEN_PROPERTY.findall(address)
    for password in _DSN_PASSWORD.findall(address) if "://" not in address else ():
        yield re.sub(r"\\(.)", r"\1", password.strip("'"))
        yield password.strip("'")


def _webhook_secrets(webhook: str) -> Iterator[str]:
    """Everything behind the host of a webhook is its secret."""
    yield webhook
    _, _, rest = webhook.partition("://")
    _, slash, path = rest.partition("/")
    if slash and path:
        yield path
    yield from _passwords(webhook)


def _mask_webhook(value: str) -> str:
    scheme, separator, rest = mask_uri(value).partition("://")
    host, slash, _ = rest.partition("/")
    host, query, _ = host.partition("?")
    return f"{scheme}://{host}{slash or query}{MASK}" if separator else MASK


def _looks_like_address(value: str) -> bool:
    return "://" in value or bool(re.match(r"\s*\w+\s*=", value))
