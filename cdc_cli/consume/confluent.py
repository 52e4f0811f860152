"""The consumer over confluent-kafka (librdkafka), the faster driver: extra `confluent`.

Rebalance callbacks run inside `consume`, on our thread. Assigned partitions are given to librdkafka only by
`seek`, so that nothing is fetched from a position that nobody chose. Its commit and close take no timeout and wait
long for a silent broker, so that both are made aside.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer as Driver
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from cdc_cli.brokers.aside import Aside
from cdc_cli.brokers.confluent_errors import Reasons, translate
from cdc_cli.consume import Partition, RawRecord, Rebalance
from cdc_cli.errors import PositionLost, TryLater
from cdc_cli.observe.log import EventLog
from cdc_cli.settings.models import KafkaSettings

_T = TypeVar("_T")
log = EventLog(__name__)

_LOOK_FOR_TOPICS_EVERY = 10.0
_LOOK_FOR_PARTITIONS_EVERY = 30.0
"""Seconds until partitions that were added to a topic are read; the driver's own five minutes are a standstill."""
_TIMEOUT = 15.0
_COMMIT_SECONDS = 5.0
_CONNECT_SECONDS = 8.0
_MOVED_ON = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._STATE,
        KafkaError._NO_OFFSET,
    }
)
_OUT_OF_RANGE = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET})
_PASSING = frozenset({KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})


class _Record(NamedTuple):
    """A `RawRecord`; what few ask for is asked of the driver's message only then."""

    offset: int
    key: bytes | None
    value: bytes | None
    message: Any

    @property
    def timestamp(self) -> int:
        return int(self.message.timestamp()[1])

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        return self.message.headers() or ()


class ConfluentConsumer:
    """A `Consumer`; one thread's object. `topics` names what to read, and is asked again now and then."""

    def __init__(
        self,
        options: Mapping[str, Any],
        settings: KafkaSettings,
        group_id: str,
        topics: Callable[[], frozenset[str]],
    ) -> None:
        self._options = {
            **options,
            "group.id": group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "allow.auto.create.topics": False,
            "session.timeout.ms": int(settings.consumer.session_timeout * 1000),
            "heartbeat.interval.ms": min(3000, int(settings.consumer.session_timeout * 250)),
            "max.poll.interval.ms": int(settings.consumer.max_poll_interval * 1000),
            "topic.metadata.refresh.interval.ms": int(_LOOK_FOR_PARTITIONS_EVERY * 1000),
            "queued.max.messages.kbytes": 8 * 1024,
            "fetch.max.bytes": 8 << 20,
            "fetch.wait.max.ms": 250,
            # The default of 1,000 lets a partition rest for a second whenever the queue above was full for a moment.
            "fetch.queue.backoff.ms": 20,
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 3,
        }
        self._topics = topics
        self._subscribed: frozenset[str] = frozenset()
        self._looked_at = 0.0
        self._driver: Any = None
        self._revoked: set[Partition] = set()
        self._assigned: set[Partition] = set()
        self._ready: set[Partition] = set()
        self._positions: dict[Partition, int] = {}
        self._is_moved = False
        self._commit = Aside("cdc-commit")

    def start(self) -> None:
        reasons = Reasons()
        options = {**self._options, "error_cb": reasons.note}
        try:
            self._driver = Driver(options, logger=logging.getLogger(__name__))
            self._driver.list_topics(timeout=_CONNECT_SECONDS)
        except Exception as exc:
            if self._driver is not None:
                self._driver.poll(0)
            raise translate("connecting to Kafka", reasons.behind(exc)) from exc
        self._subscribe(self._topics())

    def refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= (_LOOK_FOR_TOPICS_EVERY if self._subscribed else 1.0):
            self._subscribe(self._topics())

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        if not self._subscribed:
            return {}
        if self._is_moved:
            self._take_up()
        messages = self._guarded("reading from Kafka", lambda: self._driver.consume(max_records, timeout))
        found: dict[Partition, list[RawRecord]] = {}
        new, last, records = tuple.__new__, None, list[RawRecord]()
        for message in messages:
            if message.error() is not None:
                self._judge(message)
                continue
            # Records of one partition come in long runs.
            here = (message.topic(), message.partition())
            if here != last:
                last, partition = here, Partition(*here)
                records = found.setdefault(partition, []) if partition in self._ready else []
            records.append(new(_Record, (message.offset(), message.key(), message.value(), message)))
        return found

    def rebalance(self) -> Rebalance | None:
        if not self._revoked and not self._assigned:
            return None
        change = Rebalance(frozenset(self._revoked), frozenset(self._assigned))
        self._revoked, self._assigned = set(), set()
        return change

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        wanted = [TopicPartition(*p) for p in partitions]
        answers = self._guarded(
            "reading the group's offsets", lambda: self._driver.committed(wanted, timeout=_TIMEOUT)
        )
        return {Partition(a.topic, a.partition): a.offset for a in answers if a.error is None and a.offset >= 0}

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        def ask() -> dict[Partition, tuple[int, int]]:
            return {
                p: self._driver.get_watermark_offsets(TopicPartition(*p), timeout=_TIMEOUT) for p in partitions
            }

        return self._guarded("looking up the offsets that Kafka keeps", ask)

    def end(self, partition: Partition) -> int | None:
        try:
            _, end = self._driver.get_watermark_offsets(TopicPartition(*partition), cached=True)
        except KafkaException:
            return None
        return end if end >= 0 else None

    def seek(self, partition: Partition, offset: int) -> None:
        """Takes effect with the next poll, for all partitions together, as the eager protocol wants it."""
        self._positions[partition] = offset
        self._is_moved = True

    def pause(self, partitions: Sequence[Partition]) -> None:
        ours = [TopicPartition(*p) for p in partitions if p in self._ready]
        self._guarded("pausing partitions", lambda: self._driver.pause(ours))

    def resume(self, partitions: Sequence[Partition]) -> None:
        ours = [TopicPartition(*p) for p in partitions if p in self._ready]
        self._guarded("resuming partitions", lambda: self._driver.resume(ours))

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        wanted = [TopicPartition(*p, offset) for p, offset in offsets.items()]
        driver = self._driver
        try:
            self._commit.run(lambda: driver.commit(offsets=wanted, asynchronous=False), _COMMIT_SECONDS)
        except Exception as exc:
            if isinstance(exc, KafkaException) and exc.args[0].code() in _MOVED_ON:
                raise TryLater(f"the group moved on before the commit ({exc.args[0].name()})") from exc
            raise translate("committing offsets to Kafka", exc) from exc

    def close(self, timeout: float) -> None:
        driver, self._driver = self._driver, None
        self._subscribed = frozenset()
        if driver is not None:
            try:
                Aside("cdc-group-leave").run(driver.close, timeout)
            except Exception as exc:
                log.debug("group.leave_failed", "leaving the group: %s", exc)

    def _take_up(self) -> None:
        """Read the assigned partitions from where `seek` said; those already being read go on where they are."""
        running = {p: TopicPartition(*p) for p in self._ready - self._positions.keys()}
        if running:
            where = self._guarded("asking for positions", lambda: self._driver.position(list(running.values())))
            for at in where:
                if at.offset >= 0:
                    self._positions[Partition(at.topic, at.partition)] = at.offset
        wanted = [TopicPartition(*p, offset) for p, offset in self._positions.items()]
        self._guarded("positioning partitions", lambda: self._driver.assign(wanted))
        self._ready |= self._positions.keys()
        self._positions.clear()
        self._is_moved = False

    def _subscribe(self, topics: frozenset[str]) -> None:
        self._looked_at = time.monotonic()
        if topics == self._subscribed:
            return
        log.info("topics.subscribed", "reading the topics %s", ", ".join(sorted(topics)))
        self._guarded(
            "subscribing to topics",
            lambda: self._driver.subscribe(
                sorted(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            ),
        )
        self._subscribed = topics

    def _on_assign(self, driver: Any, partitions: Sequence[Any]) -> None:
        """Take note, and assign nothing yet: `seek` does, one by one, at a known offset."""
        driver.assign([])
        self._ready.clear()
        self._positions.clear()
        self._assigned = {Partition(p.topic, p.partition) for p in partitions}

    def _on_revoke(self, driver: Any, partitions: Sequence[Any]) -> None:
        gone = {Partition(p.topic, p.partition) for p in partitions}
        self._revoked |= gone
        self._assigned -= gone
        self._ready -= gone
        for partition in gone:
            self._positions.pop(partition, None)
        driver.unassign()

    def _judge(self, message: Any) -> None:
        error = message.error()
        if error.code() in _OUT_OF_RANGE and Partition(message.topic(), message.partition()) in self._ready:
            raise PositionLost(
                f"Kafka no longer has the records at the stored offset ({error.str()})",
                "their retention has passed, or the topic was deleted and made anew: "
                "see README, When a position is lost",
                "offset.out_of_range",
            )
        if error.code() not in _PASSING:
            raise translate("reading from Kafka", KafkaException(error))

    def _guarded(self, doing: str, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except Exception as exc:
            raise translate(doing, exc) from exc
