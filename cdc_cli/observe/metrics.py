"""Counters and gauges in the text format of Prometheus. Their names are part of the public interface.

https://prometheus.io/docs/instrumenting/exposition_formats/: base units, `_total` for counters. Labels are
few and never hold a key of a document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import cdc_cli
from cdc_cli.observe.counters import GAUGES, KNOWN, Counters


class Public(NamedTuple):
    """The public name of a count: its metric, the label that is always the same, the name of the free one, and how
    many of the public unit one is.
    """

    metric: str
    fixed: tuple[str, str] | None = None
    free: str = ""
    scale: float | None = None


METRICS: Mapping[str, Public] = {
    "read": Public("cdc_events_read_total"),
    "filtered": Public("cdc_events_skipped_total", ("reason", "filtered")),
    "published": Public("cdc_events_published_total"),
    "replayed": Public("cdc_events_replayed_total"),
    "dead_lettered": Public("cdc_dead_letters_total", free="reason"),
    "token_saves": Public("cdc_token_saves_total"),
    "positions_lost": Public("cdc_positions_lost_total"),
    "consumed": Public("cdc_records_consumed_total"),
    "inserted": Public("cdc_events_applied_total", ("op", "insert")),
    "updated": Public("cdc_events_applied_total", ("op", "update")),
    "deleted": Public("cdc_events_applied_total", ("op", "delete")),
    "stale": Public("cdc_events_skipped_total", ("reason", "stale")),
    "merged": Public("cdc_events_skipped_total", ("reason", "merged")),
    "ignored": Public("cdc_events_skipped_total", ("reason", "ignored")),
    "dropped": Public("cdc_events_skipped_total", ("reason", "dropped")),
    "adjusted": Public("cdc_values_adjusted_total", free="kind"),
    "batches": Public("cdc_batches_applied_total"),
    "retries": Public("cdc_retries_total", free="stage"),
    "rebalances": Public("cdc_rebalances_total"),
    "rewinds": Public("cdc_postgres_rewinds_total"),
    "watch_waited": Public("cdc_watch_wait_seconds_total", free="on", scale=1e-6),
    "sync_waited": Public("cdc_sync_wait_seconds_total", free="on", scale=1e-6),
    "lane_busy": Public("cdc_lane_busy_seconds_total", free="on", scale=1e-6),
    "in_flight": Public("cdc_in_flight_events"),
    "buffered": Public("cdc_buffered_events"),
}
"""Every count has its public name: a test compares this table with `counters.KNOWN`."""

_HELP = {
    "cdc_events_skipped_total": "changes that need not be sent or applied, by reason",
    "cdc_events_applied_total": "rows changed in PostgreSQL, by operation",
    "cdc_watch_wait_seconds_total": "seconds that the loop of watch waited, by what for",
    "cdc_sync_wait_seconds_total": "seconds that the reading loop of sync waited, by what for",
    "cdc_lane_busy_seconds_total": "seconds that lanes worked on batches, all of them together, by what they did",
}


class Gauge(NamedTuple):
    """A number that is asked for when somebody looks. None, NaN or an exception: there is none now."""

    name: str
    help: str
    read: Callable[[], float | None]

    def as_json(self) -> float | None:
        return self.read()


class LabelledGauge(NamedTuple):
    """A number for each of some things: `read` gives label values -> number, `labels` are the labels' names."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[], Mapping[tuple[str, ...], float]]

    def as_json(self) -> list[dict[str, object]]:
        """An object for each, with its labels and its `value`."""
        return [
            {**dict(zip(self.labels, values, strict=True)), "value": number}
            for values, number in sorted(self.read().items())
        ]


def render(counters: Counters, gauges: Iterable[Gauge | LabelledGauge] = ()) -> str:
    """What `/metrics` answers. Never raises."""
    lines: dict[str, list[str]] = {}
    for known in KNOWN:
        public = METRICS[known]
        kind = "gauge" if known in GAUGES else "counter"
        meaning = _HELP.get(public.metric, KNOWN[known].removeprefix("gauge: "))
        lines.setdefault(public.metric, _head(public.metric, meaning, kind))
    values = counters.labelled()
    for known, public in METRICS.items():
        samples = {label: value for (name, label), value in values.items() if name == known} or {"": 0}
        lines[public.metric] += [_sample(public, label, value) for label, value in sorted(samples.items())]
    for gauge in gauges:
        for labels, value in _read(gauge):
            block = lines.setdefault(gauge.name, _head(gauge.name, gauge.help, "gauge"))
            block.append(f"{gauge.name}{labels} {float(value)!r}")
    info = _head("cdc_build_info", "the version that runs", "gauge")
    lines["cdc_build_info"] = [*info, f'cdc_build_info{{version="{cdc_cli.__version__}"}} 1']
    return "\n".join(line for block in lines.values() for line in block) + "\n"


def _head(name: str, meaning: str, kind: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _sample(public: Public, label: str, value: int) -> str:
    pairs = [public.fixed] if public.fixed else []
    if label and public.free:
        pairs.append((public.free, label))
    inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in pairs)
    shown = value if public.scale is None else f"{value * public.scale:.6f}"
    return f"{public.metric}{{{inside}}} {shown}" if inside else f"{public.metric} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _read(gauge: Gauge | LabelledGauge) -> list[tuple[str, float]]:
    """(labels as they are written, number) of each sample."""
    try:
        if isinstance(gauge, Gauge):
            value = gauge.read()
            found = [] if value is None else [("", value)]
        else:
            found = [(_labels(gauge.labels, values), number) for values, number in sorted(gauge.read().items())]
    except Exception:
        return []
    return [(labels, value) for labels, value in found if not math.isnan(value)]


def _labels(names: Iterable[str], values: Iterable[str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{inside}}}"
