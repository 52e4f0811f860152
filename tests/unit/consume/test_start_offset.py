"""Where a partition is read from: PostgreSQL's own offset, and a loud stop when Kafka no longer has it."""

from __future__ import annotations

import pytest

from cdc_cli.consume import Partition
from cdc_cli.errors import PositionLost
from cdc_cli.workers.start_offset import start_offset

P = Partition("cdc.game.players", 3)


def test_postgresql_decides() -> None:
    assert start_offset(P, stored=50, committed=80, bounds=(0, 100)) == 50


def test_without_an_offset_in_postgresql_everything_kept_is_read() -> None:
    assert start_offset(P, stored=None, committed=80, bounds=(7, 100)) == 7
    assert start_offset(P, stored=None, committed=None, bounds=(0, 0)) == 0


def test_a_group_that_was_set_back_in_kafka_is_followed() -> None:
    assert start_offset(P, stored=50, committed=20, bounds=(0, 100)) == 20


def test_an_offset_whose_retention_has_passed_stops_loudly() -> None:
    with pytest.raises(PositionLost, match="retention") as caught:
        start_offset(P, stored=50, committed=50, bounds=(60, 100))
    assert "cdc.offsets" in caught.value.hint


def test_an_end_that_the_broker_reports_late_is_not_taken_for_a_loss() -> None:
    assert start_offset(P, stored=50, committed=50, bounds=(0, 49)) == 50
