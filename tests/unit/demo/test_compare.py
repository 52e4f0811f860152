"""The judge of the demonstration: it must see every kind of difference, and none where there is none."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex, Timestamp

from cdc_cli.demo.compare import Comparison, Row, as_json, difference, row_key

DOCUMENTS = [{"_id": "a", "level": 1}, {"_id": "b", "level": 2}]


def rows(documents: list[dict[str, Any]]) -> list[Row]:
    return [Row(row_key(document["_id"]), json.loads(json.dumps(as_json(document)))) for document in documents]


def compared(documents: list[dict[str, Any]], found: list[Row]) -> Comparison:
    result = Comparison()
    result.add(documents, found, "players")
    return result


def test_the_same_documents_and_rows_are_equal() -> None:
    result = compared(DOCUMENTS, rows(DOCUMENTS))
    assert result.is_equal
    assert (result.documents, result.rows, result.examples) == (2, 2, [])


def test_a_missing_row_is_lost() -> None:
    result = compared(DOCUMENTS, rows(DOCUMENTS[:1]))
    assert not result.is_equal
    assert (result.lost, result.extra, result.differing) == (1, 0, 0)
    assert result.examples == ["players b: lost, there is no row"]


def test_a_row_without_a_document_is_extra() -> None:
    result = compared(DOCUMENTS[:1], rows(DOCUMENTS))
    assert not result.is_equal
    assert (result.lost, result.extra, result.differing) == (0, 1, 0)
    assert result.examples == ["players b: the row has no document"]


def test_a_changed_value_differs_and_is_named() -> None:
    found = rows([DOCUMENTS[0], {"_id": "b", "level": 3}])
    result = compared(DOCUMENTS, found)
    assert not result.is_equal
    assert (result.lost, result.extra, result.differing) == (0, 0, 1)
    assert result.examples == ["players b: level is 2 in MongoDB and 3 in PostgreSQL"]


def test_the_same_id_text_with_another_type_is_another_row() -> None:
    result = compared([{"_id": 1}], [Row(("1", "string"), {"_id": 1})])
    assert (result.lost, result.extra) == (1, 1)


def test_counts_go_on_over_collections_and_examples_stay_few() -> None:
    result = Comparison()
    for name in ("one", "two"):
        result.add([{"_id": n} for n in range(20)], [], name)
    assert result.lost == 40
    assert len(result.examples) == 10


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Int64(2**63 - 1), 9223372036854775807),
        (Decimal128("1E+6000"), "1E+6000"),
        (Decimal128("0.10"), "0.10"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.datetime(985, 1, 2, 3, 4, 5, 6000), "0985-01-02T03:04:05.006Z"),
        (b"\x00\xff", "AP8="),
        (Timestamp(7, 8), {"t": 7, "i": 8}),
        (Regex("^a", "im"), "/^a/im"),
        ({"": [None, True, "ü"]}, {"": [None, True, "ü"]}),
    ],
)
def test_values_have_the_form_that_the_readme_promises(value: object, expected: object) -> None:
    assert as_json(value) == expected
    assert type(as_json(value)) is type(expected)


def test_a_value_of_an_unknown_type_is_an_error_and_not_equal_by_accident() -> None:
    with pytest.raises(TypeError, match="no JSON form for a value of type object"):
        as_json({"x": object()})
    with pytest.raises(TypeError, match="no row key"):
        row_key(True)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (True, 1),
        (1, True),
        (0, False),
        (1, "1"),
        (None, "null"),
        (9007199254740993, 9007199254740992),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}),
        ({}, []),
    ],
)
def test_what_is_not_the_same_is_a_difference(expected: object, found: object) -> None:
    assert difference(expected, found) is not None


@pytest.mark.parametrize(("expected", "found"), [(1.0, 1), (1e22, 10**22), (-0.0, 0), (0.1, 0.1), ({}, {}), ([], [])])
def test_numbers_are_the_same_where_jsonb_knows_only_one_kind(expected: object, found: object) -> None:
    assert difference(expected, found) is None


def test_a_difference_is_told_with_its_path() -> None:
    text = difference({"a": [{"b": "x"}]}, {"a": [{"b": "y"}]})
    assert text == 'a[0].b is "x" in MongoDB and "y" in PostgreSQL'
