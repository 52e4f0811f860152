"""The names of a run: recognised exactly, or left alone."""

from __future__ import annotations

import pytest

from cdc_cli.bench.names import Run, is_ours
from cdc_cli.consume.topics import select_topics
from tests.unit.bench.test_settings import settings

RUN = Run.new(1_764_000_000.5, b"\xa1\xb2\xc3\xd4")


def test_a_run_is_named_after_its_second_and_chance() -> None:
    assert RUN == "cdc_bench_20251124t160000a1b2c3"
    assert RUN.began == "2025-11-24 16:00:00 UTC"
    assert Run.new(1_764_000_000, b"\xff\xff\xff") != RUN


def test_everything_of_a_run_leads_back_to_it() -> None:
    for name in (RUN, RUN.events, RUN.latency, *RUN.topics, *RUN.groups, f"{RUN}_x8_kq1zt"):
        assert Run.of(name) == RUN


@pytest.mark.parametrize(
    "name", ["cdc_bench_results", "cdc_bench", "cdc_bench_20251124", f"my_{RUN}", f"{RUN}_players", f"{RUN}2"]
)
def test_what_only_resembles_a_name_of_ours_is_not_ours(name: str) -> None:
    assert not is_ours(name)


def test_a_sync_that_discovers_its_topics_leaves_those_of_a_bench_alone() -> None:
    wide = settings(mongodb={"uri": "mongodb://h"}, kafka={"bootstrap_servers": ["h:1"], "topic": "{collection}"})
    assert select_topics(wide, [*RUN.topics, "players"]) == {"players"}
