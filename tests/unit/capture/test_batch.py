"""A reply cut into documents: the same ones that the driver finds, in order, and the rest beside them."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.errors import InvalidBSON
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.capture.batch import Batch, documents_of, split_reply

_VALUES = st.integers(-5, 5) | st.binary(max_size=9)
_DOCUMENTS = st.lists(st.dictionaries(st.text("abc$.", max_size=3), _VALUES), max_size=120)
_BATCH_FIRST = ("nextBatch", "postBatchResumeToken", "id", "ns")


@given(documents=_DOCUMENTS, order=st.permutations(_BATCH_FIRST) | st.just(list(_BATCH_FIRST)))
def test_a_batch_is_found_wherever_the_server_puts_it(documents: list[dict[str, Any]], order: list[str]) -> None:
    fields = {"nextBatch": documents, "postBatchResumeToken": {"_data": "82"}, "id": Int64(7), "ns": "game.$cmd"}
    array, rest = split_reply(bson.encode({name: fields[name] for name in order}), "nextBatch")
    assert list(Batch(documents_of(array), bson.decode)) == documents
    assert bson.decode(rest) == {"postBatchResumeToken": {"_data": "82"}, "id": 7, "ns": "game.$cmd"}


def test_what_stands_before_a_change_that_cannot_be_decoded_is_read() -> None:
    good, bad = bson.encode({"n": 1}), bson.encode({"text": "x"}).replace(b"x\x00", b"\xed\x00")
    batch = Batch([good, bad, good], bson.decode)
    changes = iter(batch)
    assert len(batch) == 3
    assert next(changes) == {"n": 1}
    with pytest.raises(InvalidBSON):
        next(changes)
