"""The consumer over kafka-python 3 (the default driver).

Known of 3.0.12: rebalance listeners run on the driver's own thread, where a blocking call raises, so they only
note what changed; a deserializer that raises makes `poll` spin for ever, so there is none; the default offset
reset is a silent jump to the end, so it is `none` and every partition is positioned by `seek`; the result of
joining the group is lost when it comes between two polls, which `kafka_python_joining.py` mends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import OffsetAndMetadata

from cdc_cli.brokers.kafka_python_client import make
from cdc_cli.brokers.kafka_python_errors import translate
from cdc_cli.consume import Partition, RawRecord, Rebalance
from cdc_cli.consume.kafka_python_joining import keep_joining
from cdc_cli.consume.kafka_python_records import read_quickly
from cdc_cli.errors import CdcError, PositionLost, Retryable, TryLater
from cdc_cli.observe.log import EventLog
from cdc_cli.settings.models import KafkaSettings

_T = TypeVar("_T")
log = EventLog(__name__)

_LOOK_FOR_TOPICS_EVERY = 10.0
_LOOK_FOR_PARTITIONS_EVERY = 30.0
"""Seconds until partitions that were added to a topic are read; the driver's own five minutes are a standstill."""
_MOVED_ON = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.FencedInstanceIdError,
)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Collects what changes hands; called on the driver's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revoked: set[Partition] = set()
        self._assigned: set[Partition] = set()

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        gone = {Partition(*partition) for partition in revoked}
        with self._lock:
            self._revoked |= gone
            self._assigned -= gone

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        with self._lock:
            self._assigned |= {Partition(*partition) for partition in assigned}

    def peek(self) -> bool:
        return bool(self._revoked or self._assigned)

    def take(self) -> Rebalance | None:
        with self._lock:
            if not self.peek():
                return None
            change = Rebalance(frozenset(self._revoked), frozenset(self._assigned))
            self._revoked, self._assigned = set(), set()
            return change


class KafkaPythonConsumer:
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
            "group_id": group_id,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "allow_auto_create_topics": False,
            "session_timeout_ms": int(settings.consumer.session_timeout * 1000),
            "heartbeat_interval_ms": min(3000, int(settings.consumer.session_timeout * 250)),
            "max_poll_interval_ms": int(settings.consumer.max_poll_interval * 1000),
            "metadata_max_age_ms": int(_LOOK_FOR_PARTITIONS_EVERY * 1000),
            # The driver holds an answer four times over while it reads it, and one of each broker.
            "fetch_max_bytes": 8 << 20,
            "max_partition_fetch_bytes": 1 << 20,
            "fetch_max_wait_ms": 250,
            "reconnect_backoff_max_ms": 2_000,
            "metrics_enabled": False,
        }
        self._topics = topics
        self._subscribed: frozenset[str] = frozenset()
        self._looked_at = 0.0
        self._consumer: Any = None
        self._listener = _Listener()
        self._ready: set[Partition] = set()

    def start(self) -> None:
        try:
            self._consumer = make(KafkaConsumer, self._options)
            keep_joining(self._consumer._coordinator)
            read_quickly(self._consumer)
        except Exception as exc:
            raise translate("connecting to Kafka", exc) from exc
        self._subscribe(self._topics())

    def refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= (_LOOK_FOR_TOPICS_EVERY if self._subscribed else 1.0):
            self._subscribe(self._topics())

    def poll(self, timeout: float, max_records: int) -> Mapping[Partition, Sequence[RawRecord]]:
        if not self._subscribed:
            return {}
        try:
            found = self._consumer.poll(timeout_ms=int(timeout * 1000), max_records=max_records)
        except kafka_errors.NoOffsetForPartitionError:
            return {}  # newly assigned, to be positioned by seek
        except kafka_errors.OffsetOutOfRangeError as exc:
            self._refuse_jump(exc)
            return {}
        except kafka_errors.LogTruncationError as exc:
            raise PositionLost(
                f"Kafka's log is shorter than what was read from it before ({exc})",
                "the topic was deleted and made anew, or a broker lost records: see README, When a position is lost",
                "offset.out_of_range",
            ) from exc
        except Exception as exc:
            raise translate("reading from Kafka", exc) from exc
        if not found:
            return {}
        if self._listener.peek():
            found = {tp: records for tp, records in found.items() if self._still_ours(tp)}
        return {Partition(*tp): records for tp, records in found.items() if tp in self._ready}

    def rebalance(self) -> Rebalance | None:
        change = self._listener.take()
        if change is not None:
            self._ready -= change.revoked | change.assigned
        return change

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        def ask() -> dict[Partition, int]:
            answers = {p: self._consumer.committed(TopicPartition(*p), timeout_ms=15_000) for p in partitions}
            return {p: offset for p, offset in answers.items() if offset is not None and offset >= 0}

        return self._guarded("reading the group's offsets", ask)

    def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        def ask() -> dict[Partition, tuple[int, int]]:
            wanted = [TopicPartition(*p) for p in partitions]
            try:
                first = self._consumer.beginning_offsets(wanted, timeout_ms=15_000)
                end = self._consumer.end_offsets(wanted, timeout_ms=15_000)
                return {p: (first[TopicPartition(*p)], end[TopicPartition(*p)]) for p in partitions}
            except KeyError as exc:
                # a topic that was made a moment ago: the driver stumbles over what its metadata does not have yet
                raise Retryable(
                    f"Kafka does not know {exc.args[0]} yet", "does the topic still exist?", "kafka.partition_unknown"
                ) from exc

        return self._guarded("looking up the offsets that Kafka keeps", ask)

    def end(self, partition: Partition) -> int | None:
        try:
            return cast(int | None, self._consumer.highwater(TopicPartition(*partition)))
        except (kafka_errors.IllegalStateError, KeyError):
            return None  # taken away meanwhile

    def seek(self, partition: Partition, offset: int) -> None:
        try:
            self._consumer.seek(TopicPartition(*partition), offset)
        except AssertionError:
            return  # taken away meanwhile; the next rebalance() tells
        except Exception as exc:
            raise translate(f"positioning {partition.topic} {partition.number}", exc) from exc
        self._ready.add(partition)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause(*self._assigned(partitions))

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume(*self._assigned(partitions))

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        wanted = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        try:
            self._consumer.commit(wanted, timeout_ms=5_000)
        except _MOVED_ON as exc:
            raise TryLater(f"the group moved on before the commit ({type(exc).__name__})") from exc
        except Exception as exc:
            raise translate("committing offsets to Kafka", exc) from exc

    def close(self, timeout: float) -> None:
        consumer, self._consumer = self._consumer, None
        self._subscribed = frozenset()
        if consumer is None:
            return
        try:
            consumer.close(autocommit=False, timeout_ms=int(timeout * 1000))
        except Exception as exc:
            log.debug("group.leave_failed", "leaving the group: %s", exc)

    def _subscribe(self, topics: frozenset[str]) -> None:
        self._looked_at = time.monotonic()
        if topics == self._subscribed:
            return
        log.info("topics.subscribed", "reading the topics %s", ", ".join(sorted(topics)))
        try:
            self._consumer.subscribe(topics=sorted(topics), listener=self._listener)
        except Exception as exc:
            raise translate("subscribing to topics", exc) from exc
        self._subscribed = topics

    def _still_ours(self, partition: Any) -> bool:
        return partition in self._consumer.assignment()

    def _assigned(self, partitions: Sequence[Partition]) -> list[Any]:
        ours = self._consumer.assignment()
        return [TopicPartition(*p) for p in partitions if p in ours]

    def _refuse_jump(self, exc: Exception) -> None:
        """Out of range on a partition that was positioned: its records are gone. Otherwise `seek` is still due."""
        if self._listener.peek():
            return
        raise PositionLost(
            f"Kafka no longer has the records at the stored offset ({exc})",
            "their retention has passed, or the topic was deleted and made anew: see README, When a position is lost",
            "offset.out_of_range",
        ) from exc

    def _guarded(self, doing: str, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except CdcError:
            raise
        except Exception as exc:
            raise translate(doing, exc) from exc
