"""The game: it must be what the summary says it is, or its figures mean nothing."""

from __future__ import annotations

import datetime
from collections import Counter

import pytest
from bson import encode

from cdc_cli.demo.scenario import Storyline, Turn
from cdc_cli.demo.writers import shares
from cdc_cli.events import Operation


def now() -> datetime.datetime:
    return datetime.datetime(2026, 1, 2, 3, 4, 5)


def turns(number: int, count: int, limit: int = 1000) -> list[Turn]:
    story = Storyline(number, 7, now)
    return [story.turn(limit) for _ in range(count)]


def steps(number: int, count: int) -> list[tuple[str, str, str]]:
    return [
        (step.collection, step.operation, repr(step.request)) for turn in turns(number, count) for step in turn.steps
    ]


def test_the_same_seed_tells_the_same_story() -> None:
    assert steps(1, 50) == steps(1, 50)
    assert steps(1, 50) != steps(2, 50)


def test_every_operation_collection_and_a_transaction_occur() -> None:
    story = turns(0, 100)
    kinds = Counter(step.operation for turn in story for step in turn.steps)
    assert set(kinds) == set(Operation)
    assert {step.collection for turn in story for step in turn.steps} == {"players", "inventories", "matches"}
    assert any(turn.is_atomic and len({step.collection for step in turn.steps}) > 1 for turn in story)


def test_deleted_documents_come_back_under_the_same_id() -> None:
    inserted: Counter[object] = Counter()
    for turn in turns(0, 100):
        inserted.update(
            str(step.request._doc["_id"])  # type: ignore[union-attr]
            for step in turn.steps
            if step.operation is Operation.INSERT
        )
    assert max(inserted.values()) > 1


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 57])
def test_a_turn_has_at_least_one_step_and_never_more_than_allowed(limit: int) -> None:
    assert all(1 <= len(turn.steps) <= limit for turn in turns(3, 200, limit))


def test_a_bulk_stays_in_one_collection() -> None:
    for turn in turns(0, 100):
        assert turn.is_atomic or len({step.collection for step in turn.steps}) == 1


def test_every_inserted_document_is_bson() -> None:
    for turn in turns(0, 60):
        for step in turn.steps:
            if step.operation is Operation.INSERT:
                document = {**step.request._doc, "_id": str(step.request._doc["_id"])}  # type: ignore[union-attr]
                assert encode(_without_uuids(document))


def _without_uuids(document: dict[str, object]) -> dict[str, object]:
    odd = document.get("odd")
    return document | {"odd": {**odd, "device": None}} if isinstance(odd, dict) else document


def test_shares_add_up_to_the_total() -> None:
    assert shares(10, 4) == [3, 3, 2, 2]
    assert shares(0, 4) == [0, 0, 0, 0]
