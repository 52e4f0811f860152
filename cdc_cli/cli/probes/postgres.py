"""PostgreSQL: a server that takes writes, with the rights to make tables where rows and our own tables go."""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from cdc_cli.apply.rights import grant_for
from cdc_cli.apply.sqlstate import translate, translate_connect
from cdc_cli.cli.probes import Answer
from cdc_cli.errors import ConfigError, Denied, Retryable
from cdc_cli.settings.models import Settings

_QUESTIONS = """\
SELECT current_setting('server_version'), pg_is_in_recovery(), current_database(),
       current_setting('max_connections')::int,
       (SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
          FROM pg_namespace WHERE nspname = %(schema)s),
       has_database_privilege(current_database(), 'TEMPORARY'),
       has_database_privilege(current_database(), 'CREATE'),
       EXISTS (SELECT FROM pg_namespace WHERE nspname = 'cdc' AND has_schema_privilege(oid, 'USAGE'))"""


def probe(settings: Settings, seconds: float) -> Answer:
    """Asks about rights in a read-only session. Blocks; raises ConfigError, Denied, Retryable."""
    postgres = settings.postgres
    row = _ask(postgres.dsn.get_secret_value(), postgres.schema_, seconds)
    version, is_standby, database, connections, may_create, may_temporary, may_own, has_own = row
    if is_standby:
        hint = "point postgres.dsn at the primary, or add target_session_attrs=read-write"
        raise Retryable("this PostgreSQL is a standby: it takes no writes", hint, "postgres.standby")
    if may_create is None and not may_own:
        message = f"there is no schema {postgres.schema_}, and this role may not create it"
        hint = f"CREATE SCHEMA {postgres.schema_} AUTHORIZATION <our role>"
        raise ConfigError(message, hint, "postgres.schema")
    if may_create is False:
        raise _denied(f"permission denied for schema {postgres.schema_}")
    if not may_temporary:
        raise _denied(f"permission denied to create temporary tables in database {database}")
    if not may_own and not has_own:
        raise _denied(f"permission denied for database {database} (our own tables need the schema cdc)")
    warnings = []
    if postgres.pool.max >= connections:
        warnings.append(f"postgres.pool.max is {postgres.pool.max}, the server allows {connections} in all")
    text = f"{version}, database {database}; tables can be made in {postgres.schema_}"
    return Answer(text, tuple(warnings))


def _ask(dsn: str, schema: str, seconds: float) -> tuple[Any, ...]:
    where = "PostgreSQL"
    try:
        options = parse_dsn(dsn)
        where = f"PostgreSQL at {options.get('host', 'the default host')}"
        # libpq counts whole seconds per address, and takes 1 for 2.
        connection = psycopg2.connect(make_dsn(dsn, connect_timeout=max(2, int(seconds) - 1)))
    except psycopg2.ProgrammingError:
        # The driver's text quotes a piece of the string, which may be a piece of the password.
        hint = "write postgresql://user:password@host/database, or key=value words"
        raise ConfigError("postgres.dsn is not a connection string", hint, "postgres.dsn") from None
    except psycopg2.Error as exc:
        raise translate_connect(exc, where) from exc
    try:
        connection.set_session(readonly=True, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", (str(int(seconds * 1000)),))
            cursor.execute(_QUESTIONS, {"schema": schema})
            return cursor.fetchone() or ()
    except psycopg2.Error as exc:
        raise translate(exc, "ask PostgreSQL about our rights") from exc
    finally:
        connection.close()


def _denied(message: str) -> Denied:
    return Denied(message, grant_for(message), "postgres.42501")
