"""Topic names from the template, injective: two collections never share a topic unless the template says so. Pure."""

from __future__ import annotations

import re
from hashlib import sha256

LONGEST = 249
"""Kafka's limit for a topic name, in characters."""

_ILLEGAL = re.compile(r"[^A-Za-z0-9_]")


def escape(name: str) -> str:
    """A database or collection name in Kafka's alphabet: every other character, and `-` itself, as `-xx` per byte.

    `-` is the escape character because underscores are common in collection names and dashes are not. A dot is
    escaped as well: Kafka takes `a.b` and `a_b` for the same name and refuses the second topic.
    """
    return _ILLEGAL.sub(lambda m: "".join(f"-{byte:02x}" for byte in m[0].encode("utf-8", "surrogatepass")), name)


def unescape(name: str) -> str | None:
    """The inverse of `escape`; None for a name that was cut and hashed, or is none of ours."""
    if re.search(r"-h[0-9a-f]{24}$", name):
        return None
    try:
        plain = re.sub(rb"-([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), name.encode("ascii"))
        return plain.decode("utf-8", "surrogatepass")
    except UnicodeError:
        return None


def topic_of(template: str, name: str, database: str, collection: str) -> str:
    """The topic for a collection. Too long for Kafka: cut, with `-h` and a hash (no escape looks like that)."""
    topic = (
        template.replace("{name}", name)
        .replace("{database}", escape(database))
        .replace("{collection}", escape(collection))
    )
    if len(topic) <= LONGEST:
        return topic
    digest = sha256(f"{database}.{collection}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return f"{topic[: LONGEST - 26]}-h{digest}"


def names_collection(template: str, database: str | None) -> bool:
    """Whether a topic holds one collection only, so that the document's `_id` alone can be the record's key."""
    return "{collection}" in template and (database is not None or "{database}" in template)


def pattern_of(template: str, name: str, database: str | None) -> re.Pattern[str]:
    """Matches every topic name that the template can produce, for a consumer that is not told the collections."""
    pattern = re.escape(template.replace("{name}", name))
    known = re.escape(escape(database)) if database is not None else r"(?P<database>[A-Za-z0-9_-]+)"
    pattern = pattern.replace(r"\{database\}", known, 1)
    pattern = pattern.replace(r"\{collection\}", r"(?P<collection>[A-Za-z0-9_-]+)", 1)
    # A template may name either twice; what the second one says is not compared.
    return re.compile(pattern.replace(r"\{database\}", "[A-Za-z0-9_-]+").replace(r"\{collection\}", "[A-Za-z0-9_-]+"))
