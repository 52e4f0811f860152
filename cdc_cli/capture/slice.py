"""Which documents belong to a shard, as MongoDB evaluates it: a hash of the `_id`, modulo the number of shards. Pure.

The server pushes the expression down to the oplog (6.0 does), so that changes of other shards are neither turned into
events nor looked up. `$toHashedIndexKey` is the hash of hashed indexes, which stays the same for ever, because indexes
on disk depend on it.
"""

from __future__ import annotations

from typing import Any

from cdc_cli.settings.shard import Shard

_ID = "$documentKey._id"
_UNEVEN = ["int", "long", "double", "decimal", "object", "javascriptWithScope"]
"""Types of which equal values can have different hashes."""


def slice_condition(shard: Shard) -> dict[str, Any]:
    """For `$match`: true for the changes of the shard's documents and for `invalidate`, which ends every stream.

    The hash is a signed 64-bit number and `$mod` keeps the sign, so each residue has two names: -1 and n-1 are the
    same. Taking either is exact for all 2^64 hashes, where `$abs` would fail for the smallest one.
    """
    residue = shard.number - 1
    hashed = {"$mod": [{"$toHashedIndexKey": _comparable()}, shard.total]}
    is_ours = {"$in": [hashed, [residue, residue - shard.total]]}
    return {"$expr": {"$or": [is_ours, {"$eq": ["$operationType", "invalidate"]}]}}


def _comparable() -> dict[str, Any]:
    """The `_id`, with one form for values that MongoDB takes for the same `_id`.

    The hash cuts a double to its integer but rounds a decimal (-0.5), and puts 2^63 elsewhere as a double than as a
    decimal; as doubles equal numbers are equal. In an object the same is done for its fields, and what is nested deeper
    does not count: that makes slices less even, never wrong.
    """
    branches = [
        {"case": {"$isNumber": _ID}, "then": _as_double(_ID)},
        {"case": {"$eq": [{"$type": _ID}, "object"]}, "then": _as_fields(_ID)},
    ]
    careful = {"$switch": {"branches": branches, "default": None}}
    return {"$cond": [{"$in": [{"$type": _ID}, _UNEVEN]}, careful, _ID]}


def _as_double(number: str) -> dict[str, Any]:
    """What no double can hold is one value for all: only decimals are that large."""
    return {"$convert": {"input": number, "to": "double", "onError": 0}}


def _as_fields(value: str) -> dict[str, Any]:
    nested = {"$in": [{"$type": "$$field.v"}, ["object", "array", "javascriptWithScope"]]}
    branches = [
        {"case": {"$isNumber": "$$field.v"}, "then": _as_double("$$field.v")},
        {"case": nested, "then": None},
    ]
    content = {"$switch": {"branches": branches, "default": "$$field.v"}}
    return {"$map": {"input": {"$objectToArray": value}, "as": "field", "in": ["$$field.k", content]}}
