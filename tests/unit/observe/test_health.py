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
