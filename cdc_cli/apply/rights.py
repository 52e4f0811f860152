"""The rights in PostgreSQL that syncing needs, and which one is missing when the server says so. Pure."""

from __future__ import annotations

import re

LEAST = """\
CREATE SCHEMA cdc AUTHORIZATION cdc_writer;                 -- our own tables: ledger, tombstones
GRANT CONNECT, TEMPORARY ON DATABASE game TO cdc_writer;    -- TEMPORARY: batches pass a temporary table
GRANT USAGE, CREATE ON SCHEMA public TO cdc_writer;         -- CREATE: not when all tables exist already
GRANT SELECT, INSERT, UPDATE, DELETE ON public.players TO cdc_writer;   -- for tables it does not own
"""
"""Everything the role of postgres.dsn needs; no superuser, no replication, no other schema."""

_GRANTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"temporary tables in database (.+)"), "GRANT TEMPORARY ON DATABASE {} TO <our role>"),
    (re.compile(r"permission denied for database (.+)"), "CREATE SCHEMA cdc AUTHORIZATION <our role>"),
    (re.compile(r"permission denied for schema (.+)"), "GRANT USAGE, CREATE ON SCHEMA {} TO <our role>"),
    (
        re.compile(r"permission denied for (?:table|relation|view) (.+)"),
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO <our role>",
    ),
)


def grant_for(message: str) -> str:
    """The statement for an administrator, out of PostgreSQL's own message (SQLSTATE 42501)."""
    for pattern, grant in _GRANTS:
        if found := pattern.search(message):
            return "as an administrator: " + grant.format(found[1])
    return "see the README, Rights in PostgreSQL, for what the role needs"
