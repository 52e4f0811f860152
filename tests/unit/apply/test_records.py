"""The quick way of mapping a record gives what decoding and mapping it step by step gives, whatever comes."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.apply import Change
from cdc_cli.apply.mapping import Mapper
from cdc_cli.apply.records import EnvelopeMapper
from cdc_cli.envelope import Encoder, decode
from cdc_cli.errors import PoisonEvent
from cdc_cli.events import Operation
from tests.support.bson_strategies import DOCUMENTS, IDS
from tests.unit.envelope.events import event

Format = Literal["natural", "ejson"]
FORMATS: list[Format] = ["natural", "ejson"]
OID = ObjectId("65a5f1c2e4b0a1b2c3d4e5f6")


def record(document: Any, id_: Any = OID, operation: Operation = Operation.INSERT, **rest: Any) -> bytes:
    return Encoder().encode(event(document, id_, operation, **rest))[1]


def warmed(form: Format = "natural", operation: Operation = Operation.INSERT) -> EnvelopeMapper:
    """One that has seen a record of the same operation and collection, as it nearly always has."""
    mapper = EnvelopeMapper(Mapper(form))
    mapper.map(record({"_id": OID}, operation=operation), None)
    return mapper


def outcome(map_value: Any, *arguments: Any) -> Change | str | None:
    try:
        change: Change | None = map_value(*arguments)
    except PoisonEvent as error:
        return error.code
    return change


def both(value: bytes, form: Format = "natural") -> Change | str | None:
    exactly = outcome(lambda: Mapper(form).map(decode(value), "source"))
    assert outcome(warmed(form).map, value, "source") == exactly
    version = warmed(form).version(value)
    assert version is None or not isinstance(exactly, Change) or version == exactly[:4]
    return exactly


@pytest.mark.parametrize("form", FORMATS)
@given(DOCUMENTS, IDS)
def test_every_document_and_id_is_mapped_as_step_by_step(form: Format, document: dict[str, Any], id_: Any) -> None:
    both(record({"_id": id_, **document}, id_), form)


@given(DOCUMENTS, st.data())
def test_records_that_were_damaged_are_mapped_or_refused_alike(document: dict[str, Any], data: st.DataObject) -> None:
    value = record({"_id": OID, **document})
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, len(value)))
    middle = data.draw(st.sampled_from([b"", b" ", b"{", b"}", b'"', b"\\", b'{"$oid":', b'"doc":{}}', value[:200]]))
    both(value[:start] + middle + value[end:])


def test_what_most_records_look_like_tells_its_version_and_a_delete_does_not() -> None:
    mapper = warmed()
    assert mapper.version(record({"_id": OID, "n": {"a": [1]}})) == Mapper().map(decode(record({"_id": OID})), None)[:4]
    assert mapper.version(record(None, operation=Operation.DELETE)) is None
    assert mapper.version(None) is None


@pytest.mark.parametrize("id_", [OID, "p1", 'a"b', "ü", "x" * 3000, 7, -1, 2**63 - 1, 1.5, {"a": 1}, None, ""])
@pytest.mark.parametrize("form", FORMATS)
def test_ids_of_every_shape_are_mapped_as_step_by_step(form: Format, id_: Any) -> None:
    assert isinstance(both(record({"_id": id_, "n": 1}, id_), form), Change)


def test_an_update_with_its_description_is_mapped_as_step_by_step() -> None:
    value = record({"_id": OID, "n": 2}, operation=Operation.UPDATE, update={"updatedFields": {"n": 2}})
    mapper = warmed(operation=Operation.UPDATE)

    assert mapper.map(value, None) == Mapper().map(decode(value), None)


def test_collections_and_operations_may_change_from_record_to_record() -> None:
    mapper = EnvelopeMapper(Mapper())
    for name in ("players", "guilds", 'odd "name"', "players"):
        for operation in (Operation.INSERT, Operation.DELETE, Operation.REPLACE):
            document = None if operation is Operation.DELETE else {"_id": OID, "of": name}
            value = Encoder().encode(event(document, OID, operation)._replace(collection=name))[1]

            change = mapper.map(value, None)

            assert change == Mapper().map(decode(value), None)
            assert change is not None and change.table == f"game.{name}"


def test_a_head_of_somebody_else_is_not_taken_for_that_of_the_next_record() -> None:
    mapper = EnvelopeMapper(Mapper())
    ours = record({"_id": OID})
    doubled = ours[:-1] + b',"ns":"game.other"}'
    outcome(mapper.map, doubled, None)

    change = mapper.map(ours, None)

    assert change is not None and change.table == "game.players"


def test_a_record_without_a_value_is_poison() -> None:
    with pytest.raises(PoisonEvent) as raised:
        warmed().map(None, None)

    assert raised.value.code == "envelope.null_value"
