"""The position of a change: that of MongoDB's clock, and within a transaction that of the operation."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Timestamp

from cdc_cli.capture.decode import position_of
from cdc_cli.events import Position

TRANSACTION = [  # tokens of MongoDB 6.0.5, of the operations 0, 3, 64, 131 and 276
    ("826B04530C000000012B022C0100296E5A10049FB06314C76B", 0),
    ("826B04530C000000012B022C01002B066E5A10049FB06314C7", 3),
    ("826B04530C000000012B022C01002B806E5A10049FB06314C7", 64),
    ("826B04530C000000012B022C01002C01066E5A10049FB06314", 131),
    ("826B04530C000000012B022C01002C02286E5A10049FB06314", 276),
]


def _change(data: str, increment: int = 1, **fields: Any) -> dict[str, Any]:
    return {"_id": {"_data": data}, "clusterTime": Timestamp(1795445516, increment), **fields}


def test_changes_of_one_time_are_counted() -> None:
    first = position_of(_change("82"), None)
    assert first == Position(1795445516, 1, 0)
    assert position_of(_change("82"), first) == Position(1795445516, 1, 1)
    assert position_of(_change("82", increment=2), first) == Position(1795445516, 2, 0)


@pytest.mark.parametrize(("data", "number"), TRANSACTION)
def test_a_change_in_a_transaction_has_its_number_whatever_the_stream_left_out(data: str, number: int) -> None:
    change = _change(data, txnNumber=1)
    assert position_of(change, None) == Position(1795445516, 1, number)
    assert position_of(change, Position(1795445515, 9, 9)) == Position(1795445516, 1, number)
    if number:
        assert position_of(change, Position(1795445516, 1, 0)) == Position(1795445516, 1, number)


@pytest.mark.parametrize("token", [{}, {"_data": ""}, {"_data": "82"}, {"_data": "zz" * 30}, {"_data": b"\1"}])
def test_in_a_transaction_a_token_of_another_form_leaves_the_count(token: dict[str, Any]) -> None:
    change = {**_change("", txnNumber=1), "_id": token}
    assert position_of(change, None) == Position(1795445516, 1, 0)
    assert position_of(change, Position(1795445516, 1, 4)) == Position(1795445516, 1, 5)


def test_positions_only_grow_even_where_two_shards_of_mongodb_number_alike() -> None:
    change = _change(TRANSACTION[1][0], txnNumber=1)
    assert position_of(change, Position(1795445516, 1, 3)) == Position(1795445516, 1, 4)
