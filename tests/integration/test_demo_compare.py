"""The comparison of the demonstration on real servers: it reads all that is there, and sees what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from cdc_cli.demo.compare import compare


@pytest.fixture
def postgres(postgres_dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(postgres_dsn)
    connection.autocommit = True
    connection.cursor().execute("CREATE TABLE players (_id text, _id_type text, document jsonb)")
    yield connection
    connection.close()


def write(postgres: Any, id_: str, document: str) -> None:
    postgres.cursor().execute("INSERT INTO players VALUES (%s, 'string', %s)", (id_, document))


def test_equal_contents_are_equal(mongo_database: Any, postgres: Any) -> None:
    mongo_database.players.insert_one({"_id": "a", "big": 2**60, "small": 1e-300, "name": "Zoë 🐉"})
    write(postgres, "a", '{"_id": "a", "big": 1152921504606846976, "small": 1e-300, "name": "Zoë 🐉"}')
    result = compare(mongo_database, postgres)
    assert result.is_equal, result.examples
    assert (result.documents, result.rows) == (1, 1)


def test_lost_extra_and_differing_rows_are_counted(mongo_database: Any, postgres: Any) -> None:
    mongo_database.players.insert_many([{"_id": "same"}, {"_id": "lost"}, {"_id": "changed", "n": 1}])
    write(postgres, "same", '{"_id": "same"}')
    write(postgres, "changed", '{"_id": "changed", "n": 2}')
    write(postgres, "extra", '{"_id": "extra"}')
    result = compare(mongo_database, postgres)
    assert (result.lost, result.extra, result.differing) == (1, 1, 1)


def test_a_collection_without_a_table_and_a_table_without_a_collection_are_seen(
    mongo_database: Any, postgres: Any
) -> None:
    mongo_database.matches.insert_one({"_id": "m"})
    write(postgres, "p", '{"_id": "p"}')
    result = compare(mongo_database, postgres)
    assert (result.lost, result.extra) == (1, 1)
