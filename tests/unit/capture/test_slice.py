"""The condition on the hash; that MongoDB evaluates it as meant is in tests/integration/test_slices.py."""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from cdc_cli.capture.pipeline import match_stage
from cdc_cli.capture.slice import slice_condition
from cdc_cli.settings.models import MongoSettings
from cdc_cli.settings.shard import MOST, all_shards


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, MOST))
@example(-(2**63), MOST)
@example(-(2**63), 3)
@example(2**63 - 1, 63)
@example(-1, 2)
@example(0, 1)
def test_every_hash_there_can_be_belongs_to_exactly_one_shard(hashed: int, total: int) -> None:
    remainder = int(math.copysign(abs(hashed) % total, hashed))  # as MongoDB's $mod: with the sign of the dividend
    owners = []
    for shard in all_shards(total):
        is_ours, is_invalidate = slice_condition(shard)["$expr"]["$or"]
        modulo, accepted = is_ours["$in"]
        assert modulo["$mod"][1] == total
        assert is_invalidate == {"$eq": ["$operationType", "invalidate"]}
        owners += [shard] if remainder in accepted else []
    assert len(owners) == 1


def test_a_shard_is_one_more_condition_in_the_one_match() -> None:
    settings = MongoSettings(uri="mongodb://localhost", database="game", collections=["a"])
    for shard in all_shards(2):
        whole, part = match_stage(settings)["$match"], match_stage(settings, shard)["$match"]
        assert part == {**whole, **slice_condition(shard)}
