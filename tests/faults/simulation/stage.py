"""Putting the program on the simulated stage: its modules get the scheduler's threads, and the fake cursor."""

from __future__ import annotations

import queue
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cdc_cli.capture.mongo
import cdc_cli.workers.sync
from tests.faults.simulation.plan import make_plan
from tests.faults.simulation.source import SimCursor
from tests.faults.simulation.threads import Threading
from tests.faults.simulation.world import Outcome, World

_LEFT_ALONE = ("cdc_cli.observe", "cdc_cli.cli", "cdc_cli.demo")
"""Locks there are held for a moment only, and never while anything waits."""


def steady_hash(key: Any) -> int:
    """`hash` of bytes differs between interpreters; a seed must not."""
    return zlib.crc32(key)


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """The product's modules use the scheduler where they would use threads, for the length of a run."""
    threads = Threading(world.scheduler)
    places: list[tuple[Any, str, Any]] = [
        (cdc_cli.capture.mongo, "ChangeCursor", SimCursor),
        (cdc_cli.workers.sync, "hash", steady_hash),
    ]
    for name, module in sorted(sys.modules.items()):
        if name.startswith("cdc_cli.") and not name.startswith(_LEFT_ALONE):
            if vars(module).get("threading") is threading:
                places.append((module, "threading", threads))
            if vars(module).get("SimpleQueue") is queue.SimpleQueue:
                places.append((module, "SimpleQueue", threads.SimpleQueue))
    missing = object()
    before = [(module, attribute, vars(module).get(attribute, missing)) for module, attribute, _ in places]
    for module, attribute, stand_in in places:
        setattr(module, attribute, stand_in)
    try:
        yield
    finally:
        for module, attribute, original in before:
            if original is missing:
                delattr(module, attribute)
            else:
                setattr(module, attribute, original)


def simulate(seed: int, without: frozenset[str] = frozenset()) -> Outcome:
    """Run the schedule of a seed."""
    world = World(make_plan(seed, without))
    with simulated(world):
        return world.run()


