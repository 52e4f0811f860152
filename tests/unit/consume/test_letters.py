"""A dead letter read back is what was written, and goes around with its count going up."""

from __future__ import annotations

from cdc_cli.consume import Partition
from cdc_cli.consume.letters import again, read_letter
from cdc_cli.errors import PoisonEvent
from cdc_cli.publish import Record
from cdc_cli.publish.dead_letter import Origin, dead_letter
from tests.support.fakes_ranges import Stored

HERE = Partition("dlq", 2)
ORIGIN = Origin("cdc.game.players", 3, 17, 1_764_046_833_000)
ERROR = PoisonEvent("the column cannot hold it", code="value.unsupported")


def stored(record: Record, offset: int = 5) -> Stored:
    return Stored(offset, record.key, record.value, 0, record.headers)


def test_what_was_written_is_read_back() -> None:
    letter = read_letter(HERE, stored(dead_letter("dlq", b"k", b"v", ERROR, "apply", 7.5, ORIGIN)))
    assert (letter.code, letter.stage, letter.message) == ("value.unsupported", "apply", ERROR.message)
    assert (letter.origin, letter.source) == (ORIGIN, ORIGIN.topic)
    assert (letter.replay_count, letter.first_failed_at, letter.last_failed_at) == (0, 7.5, 7.5)
    assert letter.value == b"v"


def test_each_failure_of_a_replay_counts_and_the_first_origin_stays() -> None:
    record = dead_letter("dlq", b"k", b"v", ERROR, "apply", 1.0, ORIGIN)
    for count in (1, 2, 3):
        retried = again(read_letter(HERE, stored(record, offset=count)))
        assert (retried.key, retried.value) == (b"k", b"v")
        record = dead_letter(
            "dlq", b"k", retried.value, ERROR, "apply", 1.0 + count, Origin(*HERE, 0, 0), earlier=retried.headers
        )
        letter = read_letter(HERE, stored(record))
        assert (letter.replay_count, letter.origin) == (count, ORIGIN)
        assert (letter.first_failed_at, letter.last_failed_at) == (1.0, 1.0 + count)


def test_a_record_that_had_no_value_has_none_again() -> None:
    for key in (b"k", None):
        letter = read_letter(HERE, stored(dead_letter("dlq", key, None, ERROR, "consume", 1.0, ORIGIN)))
        assert again(letter).value is None


def test_a_change_that_never_reached_kafka_gets_no_invented_origin_and_keeps_what_is_known() -> None:
    first = dead_letter("dlq", b"k", b"v", ERROR, "publish", 1.0, extra={"cdc.namespace": "game.players"})
    retried = again(read_letter(HERE, stored(first)))
    second = dead_letter("dlq", b"k", b"v", ERROR, "consume", 2.0, Origin(*HERE, 5, 0), earlier=retried.headers)
    letter = read_letter(HERE, stored(second))
    assert (letter.origin, letter.source, letter.stage) == (None, "game.players", "consume")


def test_foreign_records_in_the_topic_can_be_looked_at() -> None:
    for headers in ((), (("cdc.replay_count", b"many"), ("cdc.origin.offset", b"\xff")), (("x", b"1"), ("x", b"2"))):
        letter = read_letter(HERE, Stored(0, None, None, -1, headers))
        assert (letter.code, letter.origin, letter.replay_count) == ("", None, 0)
