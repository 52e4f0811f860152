"""Alive and ready."""

from __future__ import annotations

import pytest

from cdc_cli.observe.health import Health
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(clock)


def test_a_loop_that_beats_is_alive_and_one_that_stopped_is_not(health: Health, clock: ManualClock) -> None:
    health.expect_beats("watch", 30)
    health.expect_beats("saver", 30)
    clock.tick(20)
    health.beat("watch")
    clock.tick(20)
    assert health.loops() == {"watch": True, "saver": False}
    assert not health.is_alive


def test_a_dead_server_makes_it_unready_but_not_dead(health: Health) -> None:
    health.expect_beats("watch", 30)
    health.expect_check("mongodb")
    assert health.is_alive
    assert not health.is_ready
    health.report_check("mongodb", True)
    assert health.is_ready
    health.report_check("mongodb", False)
    assert health.is_alive
    assert not health.is_ready


def test_a_hung_loop_is_not_ready_either(health: Health, clock: ManualClock) -> None:
    health.expect_beats("watch", 30)
    clock.tick(31)
    assert not health.is_ready


def test_expecting_a_check_again_does_not_forget_it(health: Health) -> None:
    health.report_check("kafka", True)
    health.expect_check("kafka")
    assert health.is_ready


def test_a_server_that_owes_an_answer_for_five_seconds_is_told_once_and_makes_it_unready(
    health: Health, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with health.asking("PostgreSQL"):
        clock.tick(4)
        health.tell_silence()
        assert health.is_ready
        clock.tick(2)
        health.tell_silence()
        health.tell_silence()
        assert (health.is_ready, health.is_alive) == (False, True)
        assert health.checks() == {"PostgreSQL answers": False}
    health.tell_silence()
    assert health.checks() == {"PostgreSQL answers": True}
    told = [record.getMessage() for record in caplog.records]
    assert told == ["PostgreSQL has not answered for 6 s", "PostgreSQL answers again"]


def test_of_several_who_wait_the_longest_counts_and_another_one_hides_nothing(
    health: Health, clock: ManualClock
) -> None:
    health.owes("Kafka", clock.monotonic())
    clock.tick(6)
    with health.asking("Kafka"):
        assert health.silent() == {"Kafka": 6.0}
    health.owes("Kafka", clock.monotonic())
    assert health.silent() == {}
    clock.tick(60)
    health.owes("Kafka", None)
    assert health.is_ready
