"""Topic names: legal for Kafka, and two collections never share one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.publish.partition import partition_of
from cdc_cli.publish.topics import LONGEST, escape, names_collection, pattern_of, topic_of, unescape

TEMPLATE = "cdc.{database}.{collection}"
_odd = {"blacklist_categories": ["Cs"]}
databases = st.text(st.characters(blacklist_characters="./\\ \"$\0", **_odd), min_size=1, max_size=63)
collections = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=120)


def test_usual_names_stay_as_they_are() -> None:
    assert topic_of(TEMPLATE, "x", "game", "player_items") == "cdc.game.player_items"


@given(databases, collections)
def test_every_name_becomes_a_legal_topic(database: str, collection: str) -> None:
    topic = topic_of(TEMPLATE, "x", database, collection)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic)


@given(databases, collections, databases, collections)
def test_different_collections_have_different_topics(d1: str, c1: str, d2: str, c2: str) -> None:
    same = topic_of(TEMPLATE, "x", d1, c1) == topic_of(TEMPLATE, "x", d2, c2)
    assert same == ((d1, c1) == (d2, c2))


def test_a_space_an_underscore_and_a_dash_do_not_collide() -> None:
    names = ["a b", "a_b", "a-b", "a-20b", "a.b"]
    assert len({escape(name) for name in names}) == len(names)


@given(collections, collections)
def test_topics_of_a_database_differ_also_where_kafka_takes_a_dot_for_an_underscore(one: str, other: str) -> None:
    seen_by_kafka = {topic_of(TEMPLATE, "x", "game", name).replace(".", "_") for name in (one, other, "a.b", "a_b")}
    assert len(seen_by_kafka) == len({one, other, "a.b", "a_b"})


def test_a_name_too_long_for_kafka_is_cut_and_told_apart_by_a_hash() -> None:
    one, other = (topic_of(TEMPLATE, "x", "d", "é" * 100 + end) for end in ("1", "2"))
    assert len(one) <= LONGEST
    assert one != other


@given(databases, collections)
def test_the_pattern_of_a_consumer_matches_every_topic_that_the_template_makes(database: str, collection: str) -> None:
    for known in (database, None):
        topic = topic_of(TEMPLATE, "x", database, collection)
        assert pattern_of(TEMPLATE, "x", known).fullmatch(topic)


@given(collections)
def test_a_name_comes_back_from_its_topic_unless_it_was_cut(collection: str) -> None:
    assert unescape(escape(collection)) in (collection, None)


def test_a_topic_for_several_collections_is_known_as_such() -> None:
    assert names_collection(TEMPLATE, None)
    assert names_collection("{collection}", "game")
    assert not names_collection("{collection}", None)
    assert not names_collection("all", "game")


@given(st.binary(max_size=64), st.integers(1, 1000))
def test_a_key_always_has_the_same_partition_within_bounds(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == partition_of(bytes(key), partitions)
    assert 0 <= partition_of(key, partitions) < partitions


def test_the_partition_is_that_of_librdkafkas_consistent_partitioner() -> None:
    assert partition_of(b"123456789", 1 << 32) == 0xCBF43926
