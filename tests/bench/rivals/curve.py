"""How the events arrived at their target: when, how many, and how much CPU the worker had used by then."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg2
from kafka import KafkaConsumer, TopicPartition

_POLL_SECONDS = 0.05
_IDLE_SECONDS = 0.5
_STUCK_SECONDS = 60


class Point(NamedTuple):
    """By the wall-clock time `at` that many events were there; `cpu` = seconds used by then."""

    at: float
    events: int
    cpu: float


@dataclass(frozen=True)
class Curve:
    """From the first events that could be seen to the last; `started` = when the process was started."""

    started: float
    points: list[Point]

    @property
    def rate(self) -> float:
        """Events a second, the first visible ones not counted."""
        return self._between(self.points[0])[0]

    @property
    def cpu_us(self) -> float:
        """CPU per event over the same span."""
        return self._between(self.points[0])[1]

    @property
    def steady_rate(self) -> float:
        """The rate of the last two thirds, when the JVM has compiled what is hot."""
        return self._between(self._third())[0]

    @property
    def steady_cpu_us(self) -> float:
        """CPU per event of the last two thirds."""
        return self._between(self._third())[1]

    @property
    def seconds(self) -> float:
        """From the start of the process to the last event."""
        return self.points[-1].at - self.started

    def _third(self) -> Point:
        last = self.points[-1].events
        return next(point for point in self.points if point.events * 3 >= last)

    def _between(self, first: Point) -> tuple[float, float]:
        last = self.points[-1]
        events = max(1, last.events - first.events)
        return events / max(1e-3, last.at - first.at), (last.cpu - first.cpu) / events * 1e6


class Follower:
    """Polls until everything has arrived; `cpu` is asked at each poll, `check` raises when the worker is broken.

    TimeoutError when nothing arrives for a minute.
    """

    def __init__(self, cpu: Callable[[], float], check: Callable[[], None]) -> None:
        self._cpu = cpu
        self._check = check

    def topic(self, bootstrap: str, topic: str, events: int, started: float) -> Curve:
        """By the ends of the partitions."""
        consumer = KafkaConsumer(bootstrap_servers=[bootstrap])
        try:
            parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
            points = self._poll(lambda: sum(consumer.end_offsets(parts).values()), lambda count: count >= events)
        finally:
            consumer.close()
        return Curve(started, [point for point in points if point.events])

    def table(self, dsn: str, table: str, events: int, started: float) -> Curve:
        """By the times of the commits, which PostgreSQL keeps: nobody counts rows while it works."""
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        try:
            points = self._poll(lambda: _size(connection, table), _Still(connection, table, events))
            at = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
            commits = sorted(_rows(connection, f"SELECT {at}, count(*) FROM {table} GROUP BY 1"))
        finally:
            connection.close()
        return Curve(started, _joined(commits, points))

    def _poll(self, count: Callable[[], int], done: Callable[[int], bool]) -> list[Point]:
        points, moved = [Point(time.time(), 0, self._cpu())], time.monotonic()
        while time.monotonic() - moved < _STUCK_SECONDS:
            seen = count()
            points.append(Point(time.time(), seen, self._cpu()))
            if done(seen):
                return points
            if seen == points[-2].events:
                self._check()
            else:
                moved = time.monotonic()
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"nothing has arrived for {_STUCK_SECONDS} s; the progress was {points[-1].events}")


class _Still:
    """Counts the rows only when the table has not grown for a while."""

    def __init__(self, connection: Any, table: str, events: int) -> None:
        self._connection = connection
        self._query = f"SELECT count(*) FROM {table}"
        self._events = events
        self._size, self._since = 0, time.monotonic()

    def __call__(self, size: int) -> bool:
        if size != self._size:
            self._size, self._since = size, time.monotonic()
        if not size or time.monotonic() - self._since < _IDLE_SECONDS:
            return False
        self._since = time.monotonic()
        return bool(_rows(self._connection, self._query)[0][0] >= self._events)


def _size(connection: Any, table: str) -> int:
    """Bytes; 0 while the table does not exist."""
    return int(_rows(connection, f"SELECT coalesce(pg_relation_size(to_regclass('{table}')), 0)")[0][0])


def _rows(connection: Any, query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _joined(commits: list[tuple[float, int]], polled: list[Point]) -> list[Point]:
    """The commits as running totals, with the CPU of the nearest poll after them."""
    times, total, points = [point.at for point in polled], 0, []
    for at, count in commits:
        total += count
        points.append(Point(at, total, polled[min(bisect_left(times, at), len(polled) - 1)].cpu))
    return points
