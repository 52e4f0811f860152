"""A topic that was deleted and made anew under the same name is noticed by its id."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

import pytest

from cdc_cli.brokers.kafka_python_admin import topic_id
from cdc_cli.workers.topic_watch import TopicWatch
from tests.support.clock import ManualClock


class Broker:
    def __init__(self, **ids: str) -> None:
        self.topics = ids
        self.asked = 0

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        self.asked += 1
        return {topic: self.topics[topic] for topic in topics if topic in self.topics}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_only_a_topic_with_another_id_is_renewed(clock: ManualClock) -> None:
    broker = Broker(players="A", matches="B")
    watch = TopicWatch(broker.ids, clock)
    watch.begun(broker.ids(["players", "matches"]))
    broker.topics["players"] = "C"
    clock.tick(10)
    assert watch.renewed(["players", "matches"]) == {"players"}


def test_a_topic_without_an_id_or_not_there_now_is_nothing_to_compare(clock: ManualClock) -> None:
    broker = Broker()
    watch = TopicWatch(broker.ids, clock)
    watch.begun({"gone": "A"})
    broker.topics["new"] = "B"
    clock.tick(10)
    assert watch.renewed(["gone", "new", "without"]) == set()


def test_the_broker_is_asked_every_ten_seconds_and_only_about_what_is_read(clock: ManualClock) -> None:
    broker = Broker(players="A")
    watch = TopicWatch(broker.ids, clock)
    for _ in range(29):
        clock.tick(1)
        watch.renewed(["players"])
        watch.renewed([])
    assert broker.asked == 2


def test_an_id_is_spelled_as_kafkas_tools_spell_it_and_zeros_are_none() -> None:
    assert topic_id(uuid.UUID("646cf24c-67e5-44c0-a509-3567e858e0ff")) == "ZGzyTGflRMClCTVn6Fjg_w"
    assert topic_id("646cf24c-67e5-44c0-a509-3567e858e0ff") == "ZGzyTGflRMClCTVn6Fjg_w"
    assert topic_id(uuid.UUID(int=0)) is None
    assert topic_id(None) is None
    assert topic_id("") is None
