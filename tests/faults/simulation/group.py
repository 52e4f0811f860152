"""A consumer group with the eager protocol: everybody gives everything back, then partitions are dealt anew.

A member that does not poll for longer than the session is thrown out, and learns it when it polls again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cdc_cli.consume import Partition, RawRecord, Rebalance
from cdc_cli.errors import PositionLost, Retryable, TryLater
from tests.faults.history import OffsetCommitted

if TYPE_CHECKING:
    from tests.faults.simulation.scheduler import Process
    from tests.faults.simulation.world import World

SESSION = 6.0
"""Seconds without a poll after which a member is thrown out."""


class Group:
    """The coordinator: it survives everything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.committed: dict[Partition, int] = {}
        self.generation = 0
        self._seen: dict[str, float] = {}
        self._joined: set[str] = set()
        self._dealt: dict[str, list[Partition]] | None = None

    def join(self, member: str) -> None:
        """A new member: everybody has to join again."""
        self._seen[member] = self._world.scheduler.now
        self.rebalance()

    def leave(self, member: str) -> None:
        if self._seen.pop(member, None) is not None:
            self.rebalance()

    def rebalance(self) -> None:
        """Begin a new generation."""
        self.generation += 1
        self._joined = set()
        self._dealt = None

    def is_member(self, member: str) -> bool:
        return member in self._seen

    def beat(self, member: str, generation: int) -> list[Partition] | None:
        """The member polls with this generation; its partitions once all have joined, None = not yet."""
        now = self._world.scheduler.now
        self._seen[member] = now
        late = [name for name, seen in self._seen.items() if now - seen > SESSION]
        for name in late:
            self._world.note(f"the group throws {name} out")
            self.leave(name)
        if generation == self.generation:
            self._joined.add(member)
        if self._dealt is None and self._joined >= set(self._seen):
            self._deal()
        return self._dealt[member] if self._dealt is not None and member in self._dealt else None

    def _deal(self) -> None:
        members = sorted(self._joined)
        self._dealt = {member: [] for member in members}
        self._world.draw.shuffle(members)
        for number, partition in enumerate(self._world.topic_partitions()):
            self._dealt[members[number % len(members)]].append(partition)


class SimConsumer:
    """Implements Consumer for one process."""

    def __init__(self, world: World, process: Process, name: str) -> None:
        self._world = world
        self._process = process
        self._name = name
        self._generation = -1
        self._owned: dict[Partition, int | None] = {}
        self._ready: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._revoked: set[Partition] = set()
        self._assigned: set[Partition] = set()

    def start(self) -> None:
        self._ask()
        self._world.group.join(self._name)

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        self._process.check()
        world = self._world
        world.crash_point(self._process, "polling")
        if world.happens("group.fails", 0.02):
            raise Retryable("reading from Kafka: connection closed", code="kafka.unreachable")
        if world.happens("group.rebalances", 0.03):
            world.group.rebalance()
        if world.happens("group.evicted", 0.01):
            world.group.leave(self._name)
        found = self._fetch()
        self._heartbeat()
        if not found:
            world.scheduler.sleep(min(timeout, 0.02 + timeout * world.draw.random()))
            found = self._fetch()
        return found

    def rebalance(self) -> Rebalance | None:
        if not self._revoked and not self._assigned:
            return None
        change = Rebalance(frozenset(self._revoked), frozenset(self._assigned))
        self._ready -= change.revoked | change.assigned
        self._revoked, self._assigned = set(), set()
        return change

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self._ask()
        known = self._world.group.committed
        return {p: known[p] for p in partitions if p in known}

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        self._ask()
        return {p: (0, len(self._world.log.partitions.get(tuple(p), ()))) for p in partitions}

    def seek(self, partition: Partition, offset: int) -> None:
        self._process.check()
        if partition in self._owned:
            self._owned[partition] = offset
            self._ready.add(partition)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._paused |= set(partitions) & set(self._owned)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._paused -= set(partitions)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._process.check()
        world = self._world
        world.crash_point(self._process, "before committing offsets")
        world.scheduler.sleep(world.latency("kafka.slow"))
        if self._generation != world.group.generation or not world.group.is_member(self._name):
            raise TryLater("the group moved on before the commit")
        is_unknown = world.happens("group.commit_fails", 0.1)
        if is_unknown and world.draw.random() < 0.5:
            raise Retryable("committing offsets to Kafka: timed out", code="kafka.unreachable")
        for partition, offset in sorted(offsets.items()):
            world.group.committed[partition] = offset
            world.record(OffsetCommitted(tuple(partition), offset))
        world.crash_point(self._process, "after committing offsets")
        if is_unknown:
            raise Retryable("committing offsets to Kafka: timed out", code="kafka.unreachable")

    def refresh(self) -> None:
        self._process.check()

    def close(self, timeout: float) -> None:
        if not self._process.is_dead:
            self._world.group.leave(self._name)

    def _ask(self) -> None:
        self._process.check()
        self._world.scheduler.sleep(self._world.latency("kafka.slow"))
        if self._world.happens("group.fails", 0.1):
            raise Retryable("asking Kafka: connection closed", code="kafka.unreachable")

    def _heartbeat(self) -> None:
        """Learn of the group's changes: give back what was ours, take what is dealt."""
        group = self._world.group
        if not group.is_member(self._name):
            self._give_back()
            group.join(self._name)
        if self._generation != group.generation:
            self._give_back()
            self._generation = group.generation
        dealt = group.beat(self._name, self._generation)
        if dealt is None or self._owned:
            return
        for partition in dealt:
            self._owned[partition] = None
            self._assigned.add(partition)

    def _give_back(self) -> None:
        self._revoked |= set(self._owned)
        self._assigned -= set(self._owned)
        self._owned = {}
        self._paused = set()

    def _fetch(self) -> Mapping[Partition, Sequence[RawRecord]]:
        found: dict[Partition, Sequence[RawRecord]] = {}
        draw = self._world.draw
        for partition, position in sorted(self._owned.items(), key=lambda owned: owned[0]):
            if position is None or partition not in self._ready or partition in self._paused:
                continue
            kept = self._world.log.partitions.get(tuple(partition), [])
            if position > len(kept):
                raise PositionLost("Kafka no longer has the records at the stored offset", code="offset.out_of_range")
            records = kept[position : position + draw.choice((1, 3, 10, 100))]
            if records and draw.random() < 0.8:
                found[partition] = records
                self._owned[partition] = position + len(records)
        return found


