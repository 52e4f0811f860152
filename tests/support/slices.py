"""Which shard a document belongs to, as MongoDB says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymongo import MongoClient

from cdc_cli.capture.slice import slice_condition
from cdc_cli.settings.shard import all_shards


def owners(client: MongoClient[Any], ids: Iterable[Any], total: int) -> list[list[int]]:
    """For each `_id` the numbers of the shards whose condition is true."""
    changes = [{"documentKey": {"_id": id_}, "operationType": "insert"} for id_ in ids]
    shards = {str(shard.number): slice_condition(shard)["$expr"] for shard in all_shards(total)}
    stages = [{"$documents": {"$literal": changes}}, {"$project": shards}]
    rows = client.admin.aggregate(stages)
    return [[int(number) for number, is_ours in row.items() if is_ours] for row in rows]
