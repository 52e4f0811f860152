"""Which records a replay is about: what a person types for an `_id` finds the key that the watcher wrote."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.consume.selection import Selection, ids_of
from cdc_cli.envelope import Encoder
from cdc_cli.events import ChangeEvent, Operation, Position

OID = "65a5f1c2e4b0a1b2c3d4e5f6"
UUID = "12345678-9abc-4def-8123-456789abcdef"


def key(id_: Any, with_namespace: bool = False) -> bytes:
    event = ChangeEvent(Operation.DELETE, "game", "players", id_, Position(1, 1, 0), 0)
    return Encoder(with_namespace).encode(event)[0]


@pytest.mark.parametrize(
    ("typed", "id_"),
    [
        (OID, ObjectId(OID)),
        (OID.upper(), ObjectId(OID)),
        (OID, OID),
        ("42", 42),
        ("42", Int64(42)),
        ("42", 42.0),
        ("42", Decimal128("42.0")),
        ("42", "42"),
        ("-1.5", -1.5),
        ("007", "007"),
        ("true", True),
        ("null", None),
        (UUID, Binary.from_uuid(uuid.UUID(UUID))),
        ("it's", "it's"),
        ("ä", "ä"),
        ("", ""),
        ('"42"', "42"),
        ('"\\u0000"', "\0"),
        ('{"$oid":"' + OID + '"}', ObjectId(OID)),
        ('{"$date":"2026-01-02T03:04:05Z"}', datetime(2026, 1, 2, 3, 4, 5)),
        ('{"a": 1, "b": "x"}', {"a": 1.0, "b": "x"}),
    ],
)
def test_what_a_person_types_finds_the_document(typed: str, id_: Any) -> None:
    wanted = Selection(ids=ids_of(typed))
    assert wanted.takes("any", key(id_))
    assert wanted.takes("any", key(id_, with_namespace=True))


@pytest.mark.parametrize(
    ("typed", "id_"), [("42", 43), ('"42"', 42), (OID, OID.upper()), ('{"a":1}', {"a": 2}), ("a", {"_id": "a"})]
)
def test_other_documents_are_left_out(typed: str, id_: Any) -> None:
    assert not Selection(ids=ids_of(typed)).takes("any", key(id_))


@given(st.text())
def test_every_string_finds_itself_unless_it_begins_like_json(text: str) -> None:
    if not text.startswith(("{", "[", '"')):
        assert Selection(ids=ids_of(text)).takes("any", key(text))


@pytest.mark.parametrize("typed", ["{x", '"', '{"$oid":"zz"}', "[1,"])
def test_what_begins_like_json_must_be_json(typed: str) -> None:
    with pytest.raises(ValueError, match="begins like JSON"):
        ids_of(typed)


def test_a_collection_is_told_by_the_key_where_topics_are_shared() -> None:
    players = Selection(namespaces=["game.players"])
    assert players.takes("all", key(1, with_namespace=True))
    assert not Selection(namespaces=["game.matches"]).takes("all", key(1, with_namespace=True))
    for foreign in (None, b"", b"theirs", key(1)):
        assert not players.takes("all", foreign)


def test_a_collection_is_told_by_the_topic_where_it_has_one() -> None:
    selection = Selection(topics=["cdc.game.players"])
    assert selection.takes("cdc.game.players", None)
    assert not selection.takes("cdc.game.matches", None)
    assert Selection().takes("anything", None)
