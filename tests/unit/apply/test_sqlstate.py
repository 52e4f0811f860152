"""What an error of PostgreSQL asks for."""

from __future__ import annotations

import psycopg2
import pytest

from cdc_cli.apply.rights import grant_for
from cdc_cli.apply.sqlstate import Kind, classify, is_poison, translate, translate_connect
from cdc_cli.errors import CdcError, ConfigError, Denied, PoisonEvent, Retryable

pytestmark = pytest.mark.requirement("R12.5")


@pytest.mark.parametrize(
    ("states", "kind"),
    [
        ("40P01 40001 55P03 57014 08006 57P01 57P03 53100 53200 53300 25006 25P03 0A000 26000", Kind.RETRY),
        ("22P02 22P05 22021 22003 22001 54000 54001 23502 23514 23505 P0001", Kind.POISON),
        ("28P01 28000 42501", Kind.DENIED),
        ("3D000 42703 42804 42P10", Kind.CONFIG),
        ("42P01 3F000", Kind.MISSING),
        ("21000 ZZ999", Kind.BUG),
    ],
)
def test_the_sqlstate_decides(states: str, kind: Kind) -> None:
    assert [state for state in states.split() if classify(state) is not kind] == []


def test_no_sqlstate_means_that_the_connection_was_lost() -> None:
    assert classify(None) is Kind.RETRY
    error = translate(psycopg2.InterfaceError("connection already closed"), "write a batch")
    assert isinstance(error, Retryable)
    assert error.message == "could not write a batch: connection already closed"


def test_text_that_the_driver_cannot_send_is_the_fault_of_the_row() -> None:
    error = ValueError("A string literal cannot contain NUL (0x00) characters.")
    assert is_poison(error)
    assert isinstance(translate(error, "write"), PoisonEvent)
    assert not is_poison(psycopg2.OperationalError("server closed the connection"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL:  password authentication failed for user "cdc"', Denied),
        ("fe_sendauth: no password supplied", Denied),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', Denied),
        ('FATAL:  role "cdc" does not exist', Denied),
        ('FATAL:  database "gaem" does not exist', ConfigError),
        ("server does not support SSL, but SSL was required", ConfigError),
        ("FATAL:  sorry, too many clients already", Retryable),
        ("FATAL:  the database system is starting up", Retryable),
        ("connection refused\n\tIs the server running?", Retryable),
        ('could not translate host name "pg" to address', Retryable),
    ],
)
def test_a_failed_connect_is_told_apart_by_its_text(text: str, kind: type[CdcError]) -> None:
    error = translate_connect(psycopg2.OperationalError(text), "PostgreSQL at db, database game")
    assert type(error) is kind
    assert error.message.startswith("could not connect to PostgreSQL at db, database game: ")
    assert "\n" not in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("message", "grant"),
    [
        (
            "permission denied for table players",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON players TO <our role>",
        ),
        ("permission denied for schema public", "GRANT USAGE, CREATE ON SCHEMA public TO <our role>"),
        (
            'permission denied to create temporary tables in database "game"',
            'GRANT TEMPORARY ON DATABASE "game" TO <our role>',
        ),
        ("permission denied for database game", "CREATE SCHEMA cdc AUTHORIZATION <our role>"),
    ],
)
def test_a_missing_right_is_named_as_a_statement(message: str, grant: str) -> None:
    assert grant_for(message) == f"as an administrator: {grant}"
