"""A dead letter: the original bytes, and where it came from; its first origin survives a replay that fails."""

from __future__ import annotations

from cdc_cli.errors import PoisonEvent
from cdc_cli.publish.dead_letter import Origin, dead_letter

ERROR = PoisonEvent("the column cannot hold it", code="value.unsupported")


def test_headers_name_code_stage_message_and_origin() -> None:
    record = dead_letter("dlq", b"k", b"v", ERROR, "apply", 1764046833.25, Origin("cdc.a.b", 3, 17, 1764046833000))
    headers = dict(record.headers)
    assert (record.topic, record.key, record.value) == ("dlq", b"k", b"v")
    assert headers["cdc.error.code"] == b"value.unsupported"
    assert headers["cdc.error.stage"] == b"apply"
    assert headers["cdc.error.message"] == b"the column cannot hold it"
    assert headers["cdc.origin.topic"] == b"cdc.a.b"
    assert headers["cdc.origin.partition"] == b"3"
    assert headers["cdc.origin.offset"] == b"17"
    assert headers["__connect.errors.topic"] == b"cdc.a.b"
    assert headers["cdc.first_failed_at"] == b"1764046833.250"


def test_a_second_failure_keeps_the_first_origin_and_time() -> None:
    first = dead_letter("dlq", b"k", b"v", ERROR, "apply", 1.0, Origin("cdc.a.b", 3, 17, 0))
    again = dead_letter("dlq", b"k", b"v", ERROR, "apply", 2.0, Origin("dlq", 0, 5, 0), earlier=first.headers)
    headers = dict(again.headers)
    assert headers["cdc.origin.topic"] == b"cdc.a.b"
    assert headers["cdc.first_failed_at"] == b"1.000"
    assert headers["cdc.last_failed_at"] == b"2.000"


def test_a_record_without_a_value_stays_one() -> None:
    record = dead_letter("dlq", b"k", None, ERROR, "consume", 1.0)
    assert record.value is None
    assert dict(record.headers)["cdc.origin.null_value"] == b"true"


def test_a_record_without_key_and_value_can_still_be_published() -> None:
    assert dead_letter("dlq", None, None, ERROR, "consume", 1.0).value == b""
