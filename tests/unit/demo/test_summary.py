"""The verdict: what counts as a failed demonstration, and that the figures are what was measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from cdc_cli.demo.compare import Comparison
from cdc_cli.demo.probe import Latency, percentile
from cdc_cli.demo.summary import Report, Server

REPORT = Report(
    operations={"insert": 60, "update": 30, "replace": 6, "delete": 4},
    transactions=3,
    probes=10,
    written=100,
    sent=100,
    applied=100,
    dead_letters=0,
    comparison=Comparison(documents=56, rows=56),
    latency=Latency(10, 0.1, 0.25, 0.3),
    seconds={"pipeline": 2.0, "behind": 0.2, "total": 9.0},
    exit_codes={"watch": 0, "sync": 0},
    servers=(Server("mongodb", "MongoDB", "6.0", "127.0.0.1:1"),),
    addresses={},
    kafka_client="kafka-python 3",
    folder=Path("/tmp/x"),
)


def test_a_run_where_all_arrived_has_no_problem() -> None:
    assert REPORT.problems == []
    assert REPORT.events_per_second == 50
    assert REPORT.summary()["latency_p99_ms"] == 250


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"comparison": Comparison(lost=1)}, "1 documents have no row"),
        ({"comparison": Comparison(extra=2)}, "2 rows have no document"),
        ({"comparison": Comparison(differing=3)}, "3 rows differ from their documents"),
        ({"sent": 99, "applied": 99}, "only 99 of 100 changes are in Kafka"),
        ({"applied": 98}, "only 98 of 100 changes are applied in PostgreSQL"),
        ({"dead_letters": 1}, "1 changes are in the dead-letter topic"),
        ({"exit_codes": {"watch": 0, "sync": 70}}, "cdc sync ended with exit code 70"),
    ],
)
def test_whatever_is_not_as_promised_is_a_problem(change: dict[str, Any], problem: str) -> None:
    report = dataclasses.replace(REPORT, **change)
    assert report.problems == [problem]
    assert report.result()["problems"] == [problem]


def test_the_result_is_json_and_the_lines_fit_a_terminal() -> None:
    assert json.loads(json.dumps(REPORT.result()))["events"]["by_operation"]["delete"] == 4
    lines = [part for line in REPORT.lines() for part in line.splitlines()]
    assert max(map(len, lines)) <= 80


def test_a_run_without_markers_has_no_latency_and_still_a_summary() -> None:
    report = dataclasses.replace(REPORT, latency=Latency(0, None, None, None))
    assert report.summary()["latency_p50_ms"] is None
    assert any("p50 -" in line for line in report.lines())


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([7.0], 99) == 7
    assert percentile([], 50) is None
