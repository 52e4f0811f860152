"""The options of `cdc dlq discard`: what is refused, and what is meant."""

from __future__ import annotations

import pytest
import typer

from cdc_cli.cli.dlq_discard import Chosen
from cdc_cli.consume import Partition
from cdc_cli.consume.backlog import Wanted

TOPIC = "cdc.dlq.game"


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (Chosen(), "say what to discard"),
        (Chosen(True, codes=["x"]), "no other choice"),
        (Chosen(True, offsets=[f"{TOPIC}:0:1-2"]), "no other choice"),
        (Chosen(offsets=["0:1-2"]), "is not TOPIC:PARTITION:FIRST-END"),
    ],
)
def test_nonsense_is_refused_before_anything_is_connected(chosen: Chosen, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        chosen.check()


def test_places_are_those_of_the_dead_letter_topic() -> None:
    with pytest.raises(typer.BadParameter, match=r"cdc\.game\.players is not the dead-letter topic"):
        Chosen(offsets=["cdc.game.players:0:1-2"]).wanted(TOPIC)


def test_each_choice_becomes_what_is_wanted() -> None:
    assert Chosen(True).wanted(TOPIC) == Wanted()
    chosen = Chosen(codes=["a", "b"], offsets=[f"{TOPIC}:2:5-9", f"{TOPIC}:0:3-"])
    places = {Partition(TOPIC, 2): (5, 9), Partition(TOPIC, 0): (3, None)}
    assert chosen.wanted(TOPIC) == Wanted(frozenset({"a", "b"}), None, places)
