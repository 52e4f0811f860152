"""What Prometheus reads."""

from __future__ import annotations

import re
from itertools import pairwise

from cdc_cli.observe.counters import KNOWN, Counters
from cdc_cli.observe.metrics import METRICS, Gauge, LabelledGauge, render

PAIR = r'[a-z]+="(?:[^"\\\n]|\\.)*"'
SAMPLE = re.compile(rf"^(?P<name>cdc_[a-z_]+)(?:\{{{PAIR}(?:,{PAIR})*\}})? \S+$")


def samples(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_every_count_has_a_public_name() -> None:
    assert set(METRICS) == set(KNOWN)


def test_every_line_follows_the_format_and_every_metric_has_one_head() -> None:
    counters = Counters()
    counters.add("adjusted", 3, 'odd "kind"\\\n')
    text = render(counters, [Gauge("cdc_source_lag_seconds", "lag", lambda: 0.5)])
    heads = re.findall(r"^# TYPE (\S+) (?:counter|gauge)$", text, re.MULTILINE)
    assert len(heads) == len(set(heads))
    for line in text.splitlines():
        match = SAMPLE.match(line)
        assert line.startswith("# ") or match, line
        assert not match or match["name"] in heads


def test_samples_of_one_metric_stand_together() -> None:
    names = [name.partition("{")[0] for name in samples(render(Counters()))]
    assert names == sorted(names, key=names.index)
    changes = sum(one != other for one, other in pairwise(names))
    assert changes == len(set(names)) - 1


def test_counts_appear_under_their_names_and_labels() -> None:
    counters = Counters()
    counters.add("read", 5)
    counters.add("inserted", 3)
    counters.add("deleted", 2)
    counters.add("adjusted", 4, "nul")
    counters.add("retries", 2, "kafka")
    found = samples(render(counters))
    assert found["cdc_events_read_total"] == "5"
    assert found['cdc_events_applied_total{op="insert"}'] == "3"
    assert found['cdc_events_applied_total{op="delete"}'] == "2"
    assert found['cdc_events_applied_total{op="update"}'] == "0"
    assert found['cdc_values_adjusted_total{kind="nul"}'] == "4"
    assert found['cdc_retries_total{stage="kafka"}'] == "2"


def test_waits_are_counted_in_microseconds_and_shown_in_seconds() -> None:
    counters = Counters()
    counters.add_wait("lane_busy", "postgresql", 1.25)
    counters.add_wait("lane_busy", "postgresql", 0.000_001)
    counters.add_wait("lane_busy", "other", -0.5)
    found = samples(render(counters))
    assert found['cdc_lane_busy_seconds_total{on="postgresql"}'] == "1.250001"
    assert found['cdc_lane_busy_seconds_total{on="other"}'] == "0.000000"


def test_a_gauge_keeps_its_precision() -> None:
    found = samples(render(Counters(), [Gauge("cdc_last_event_timestamp_seconds", "t", lambda: 1764046833.25)]))
    assert found["cdc_last_event_timestamp_seconds"] == "1764046833.25"


def test_a_gauge_that_has_no_value_now_is_left_out_and_the_rest_stays() -> None:
    def broken() -> float:
        raise OSError("no server")

    gauges = [
        Gauge("cdc_a", "none", lambda: None),
        Gauge("cdc_b", "not a number", lambda: float("nan")),
        Gauge("cdc_c", "broken", broken),
        Gauge("cdc_d", "fine", lambda: 1),
    ]
    found = samples(render(Counters(), gauges))
    assert {name for name in found if name in {"cdc_a", "cdc_b", "cdc_c", "cdc_d"}} == {"cdc_d"}


def test_a_number_for_each_of_some_things_has_their_labels() -> None:
    lags = {("b", "1"): 2.0, ('odd "topic"', "0"): 0.5, ("a", "0"): float("nan")}
    gauge = LabelledGauge("cdc_lag", "lag", ("topic", "partition"), lambda: lags)
    text = render(Counters(), [gauge])
    found = {name: value for name, value in samples(text).items() if name.startswith("cdc_lag")}
    assert found == {'cdc_lag{topic="b",partition="1"}': "2.0", r'cdc_lag{topic="odd \"topic\"",partition="0"}': "0.5"}
    assert text.count("# TYPE cdc_lag gauge") == 1
    assert gauge.as_json()[1] == {"topic": "b", "partition": "1", "value": 2.0}
    assert "cdc_lag" not in render(Counters(), [gauge._replace(read=dict)])
