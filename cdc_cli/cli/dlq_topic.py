"""The dead-letter topic as it stands when a command of `cdc dlq` begins: read from its beginning to its end then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from cdc_cli.cli.session import Session
from cdc_cli.clock import Clock
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import Backlog
from cdc_cli.consume.letters import Letter, backlog_group, read_letter
from cdc_cli.consume.ranges import Bounds
from cdc_cli.errors import Retryable
from cdc_cli.wiring import wire
from cdc_cli.workers.replay import ReplayTools

_SILENCE = 30.0
_BATCH = 500


class LettersTopic(NamedTuple):
    """`ranges` is what Kafka keeps; `backlog` says what of it waits."""

    name: str
    tools: ReplayTools
    ranges: Mapping[Partition, Bounds]
    backlog: Backlog
    clock: Clock

    def read(self, ranges: Mapping[Partition, Bounds]) -> Iterator[Letter]:
        """Blocks; raises Retryable, Denied."""
        reader, clock = self.tools.reader, self.clock
        reader.open(ranges)
        heard = clock.monotonic()
        while any(reader.positions()[p] < r.end for p, r in ranges.items()):
            found = reader.poll(0.5, _BATCH)
            for partition, records in found.items():
                yield from (read_letter(partition, record) for record in records)
            if found:
                heard = clock.monotonic()
            elif clock.monotonic() - heard > _SILENCE:
                raise Retryable(
                    f"Kafka has not delivered anything for {_SILENCE:g} s", "are the brokers up?", "kafka.silent"
                )


@contextmanager
def open_topic(session: Session, to_settle: bool = False) -> Iterator[LettersTopic]:
    """Connect, and fix the end. A topic that was never made has no partitions.

    `to_settle`: with the right to the dead letters; raises TryLater when another process has it.
    """
    settings = session.settings
    with wire(settings, session.stop) as container:
        tools = container.get(ReplayTools)
        name, start, reader, memory = settings.dead_letter_topic, tools.starter, tools.reader, tools.memory
        if to_settle:
            start("taking the dead letters", memory.hold)
        start("connecting to Kafka", lambda: reader.start(backlog_group(settings.group_id)))
        partitions = start("looking up partitions", lambda: reader.partitions([name]))
        bounds = start("looking up offsets", lambda: reader.bounds(partitions))
        settled = start("looking up settled dead letters", lambda: memory.load(bounds))
        yield LettersTopic(name, tools, bounds, Backlog(settled), session.clock)
