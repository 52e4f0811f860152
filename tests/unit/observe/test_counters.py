"""Counts."""

from __future__ import annotations

import threading

import pytest

from cdc_cli.observe.counters import KNOWN, Counters


@pytest.fixture
def counters() -> Counters:
    return Counters()


def test_counts_add_up_also_from_many_threads(counters: Counters) -> None:
    def count() -> None:
        for _ in range(1000):
            counters.add("read", 2)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counters.get("read") == 16_000


def test_a_snapshot_has_everything_from_the_start(counters: Counters) -> None:
    assert counters.snapshot() == dict.fromkeys(KNOWN, 0)


def test_a_labelled_count_is_summed(counters: Counters) -> None:
    counters.add("adjusted", 2, "nul")
    counters.add("adjusted", 3, "nan")
    counters.add("adjusted", 1, "nul")
    assert counters.get("adjusted") == 6
    snapshot = counters.snapshot()
    assert {name: snapshot[name] for name in snapshot if name.startswith("adjusted")} == {
        "adjusted": 6,
        "adjusted.nul": 3,
        "adjusted.nan": 3,
    }


def test_a_gauge_is_set_and_not_added(counters: Counters) -> None:
    counters.set("in_flight", 7)
    counters.set("in_flight", 5)
    assert counters.get("in_flight") == 5
    with pytest.raises(KeyError, match="gauge"):
        counters.add("in_flight")
    with pytest.raises(KeyError, match="not a gauge"):
        counters.set("read", 1)


def test_a_misspelt_name_is_an_error_and_not_a_new_count(counters: Counters) -> None:
    with pytest.raises(KeyError, match="raed"):
        counters.add("raed")
    with pytest.raises(KeyError, match="raed"):
        counters.get("raed")


def test_a_counter_never_shrinks(counters: Counters) -> None:
    with pytest.raises(ValueError, match="cannot shrink"):
        counters.add("read", -1)
