"""Rules about brokers, topics, the group and logging in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cdc_cli.settings.models import Settings
from cdc_cli.settings.rules.problem import Problem, Rule, conflict, invalid, warning

_SERVER = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%]+\]):(\d{1,5})$")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}$")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SECURITY = "kafka.security."
_FILES = ("ca_file", "certificate_file", "key_file")
_ALPHABET = "Kafka allows letters, digits, dots, dashes and underscores in a topic, 249 at most"


def bootstrap_servers(settings: Settings) -> Iterator[Problem]:
    """host:port, as both client libraries read it."""
    path = "kafka.bootstrap_servers"
    for server in settings.kafka.bootstrap_servers:
        match = _SERVER.match(server)
        if match is None or not 0 < int(match[1]) < 65536:
            yield invalid(path, "every entry must be host:port", "such as kafka:9092, without a scheme")
            return


def topic(settings: Settings) -> Iterator[Problem]:
    """The template must give legal names that can be told apart."""
    path, template = "kafka.topic", settings.kafka.topic
    names = {"database", "collection", "name"}
    if strange := set(_PLACEHOLDER.findall(template)) - names:
        count = "a placeholder is unknown" if len(strange) == 1 else "placeholders are unknown"
        yield invalid(path, count, "{database}, {collection} and {name} can be used")
        return
    literal = _PLACEHOLDER.sub("", template)
    if literal and not _TOPIC.match(literal):
        yield invalid(path, _ALPHABET)
    elif "}{" in template:
        message = "between two placeholders there must be a character"
        yield invalid(path, message, "such as {database}.{collection}")
    elif template in (".", ".."):
        yield invalid(path, "Kafka allows no topic named . or ..")


def dead_letter_topic(settings: Settings) -> Iterator[Problem]:
    """A legal name that no collection's topic can have: sync would read its own dead letters."""
    path, name = "dead_letter.topic", settings.dead_letter_topic
    if not _TOPIC.match(name) or name in (".", ".."):
        yield invalid(path, _ALPHABET, "only {name} can be used", "name")
    elif _is_data_topic(settings, name):
        message = "a collection's topic can have the same name"
        yield conflict(path, "kafka.topic", message, "such as cdc.dlq.{name}")


def security(settings: Settings) -> Iterator[Problem]:
    """Every key that is given has an effect, and what the protocol needs is there."""
    given, protocol = settings.kafka.security, _SECURITY + "protocol"
    for name in ("mechanism", "username", "password"):
        value = getattr(given, name)
        if given.protocol.startswith("SASL") and not value:
            message = f"{given.protocol} needs mechanism, username and password"
            yield Problem("error", "config.missing", (_SECURITY + name, protocol), message)
        elif not given.protocol.startswith("SASL") and value:
            message = f"{given.protocol} does not log in"
            yield conflict(_SECURITY + name, protocol, message, "SASL_SSL or SASL_PLAINTEXT does")
    for name in _FILES:
        if getattr(given, name) and not given.protocol.endswith("SSL"):
            message = f"{given.protocol} has no certificates"
            yield conflict(_SECURITY + name, protocol, message, "SSL or SASL_SSL has")
    if bool(given.certificate_file) != bool(given.key_file):
        path, other = _SECURITY + "certificate_file", _SECURITY + "key_file"
        yield conflict(path, other, "a certificate and its key go together")


def security_warnings(settings: Settings) -> Iterator[Problem]:
    """What works, and is not safe."""
    given = settings.kafka.security
    if given.protocol == "SASL_PLAINTEXT" and given.mechanism == "PLAIN":
        message = "the password goes over the network in clear"
        path, other = _SECURITY + "protocol", _SECURITY + "mechanism"
        yield warning("password_in_clear", path, message, "SASL_SSL", other)
    if given.protocol.endswith("SSL") and not given.check_hostname:
        message = "any server with a certificate of that authority can pose as a broker"
        path, other = _SECURITY + "check_hostname", _SECURITY + "protocol"
        yield warning("unchecked_hostname", path, message, "", other)


def consumer(settings: Settings) -> Iterator[Problem]:
    """The two clocks of a group member, as Kafka defines them."""
    given = settings.kafka.consumer
    if given.session_timeout >= given.max_poll_interval:
        path, other = "kafka.consumer.session_timeout", "kafka.consumer.max_poll_interval"
        yield conflict(path, other, "session_timeout must be shorter than max_poll_interval")


def certificate_files(settings: Settings) -> Iterator[Problem]:
    """The client libraries' own message for a missing file does not name it."""
    given = settings.kafka.security
    for name in _FILES if given.protocol.endswith("SSL") else ():
        file = getattr(given, name)
        if file and not Path(file).is_file():
            yield Problem("error", "config.missing_file", (_SECURITY + name,), "there is no such file")


def _is_data_topic(settings: Settings, name: str) -> bool:
    """Whether the template can give this name, as far as database and collections are known here."""
    mongodb, template = settings.mongodb, settings.kafka.topic.replace("{name}", settings.name)
    if mongodb.database is None and "{database}" in template:
        return False
    collections = mongodb.collections or [".*"]
    for collection in collections:
        glob = ".*" if collection == ".*" else re.escape(collection).replace(r"\*", ".*").replace(r"\?", ".")
        pattern = re.escape(template).replace(r"\{database\}", re.escape(mongodb.database or ""))
        if re.fullmatch(pattern.replace(r"\{collection\}", glob), name):
            return True
    return False


RULES: tuple[Rule, ...] = (bootstrap_servers, topic, dead_letter_topic, security, security_warnings, consumer)
FILE_RULES: tuple[Rule, ...] = (certificate_files,)
