"""The figures of a demonstration: as JSON, and as the lines that people read at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cdc_cli
from cdc_cli.demo.compare import Comparison
from cdc_cli.demo.probe import Latency

_KEPT_UP = 2.0
"""A pipeline that ends so many seconds after the writers was not what limited the rate."""
LATENCY = "from MongoDB's acknowledgement (w: majority) to the row being visible in PostgreSQL"
RATE = "from the first write to MongoDB to the last row in PostgreSQL"


@dataclass(frozen=True, slots=True)
class Server:
    """What took part, and where it listens."""

    name: str
    title: str
    version: str
    address: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured. Durations in seconds; `addresses` are connection strings by server."""

    operations: Mapping[str, int]
    transactions: int
    probes: int
    written: int
    sent: int
    applied: int
    dead_letters: int
    comparison: Comparison
    latency: Latency
    seconds: Mapping[str, float]
    exit_codes: Mapping[str, int | None]
    servers: tuple[Server, ...]
    addresses: Mapping[str, str]
    kafka_client: str
    folder: Path

    @property
    def problems(self) -> list[str]:
        """What is not as promised; empty when all is well."""
        found = self.comparison
        checks = (
            (found.lost, f"{found.lost:,} documents have no row"),
            (found.extra, f"{found.extra:,} rows have no document"),
            (found.differing, f"{found.differing:,} rows differ from their documents"),
            (self.sent < self.written, f"only {self.sent:,} of {self.written:,} changes are in Kafka"),
            (self.applied < self.sent, f"only {self.applied:,} of {self.sent:,} changes are applied in PostgreSQL"),
            (self.dead_letters, f"{self.dead_letters:,} changes are in the dead-letter topic"),
            *((code != 0, f"cdc {name} ended with exit code {code}") for name, code in self.exit_codes.items()),
        )
        return [text for is_wrong, text in checks if is_wrong]

    @property
    def events_per_second(self) -> float:
        """Changes through the whole pipeline, RATE."""
        return self.written / max(self.seconds["pipeline"], 1e-9)

    def summary(self) -> dict[str, Any]:
        """The figures that matter most, flat."""
        return {
            "events": self.written,
            "rows": self.comparison.rows,
            "lost": self.comparison.lost,
            "extra": self.comparison.extra,
            "differing": self.comparison.differing,
            "events_per_second": round(self.events_per_second, 1),
            "latency_p50_ms": _ms(self.latency.p50),
            "latency_p99_ms": _ms(self.latency.p99),
            "seconds": round(self.seconds["total"], 1),
        }

    def result(self) -> dict[str, Any]:
        """All figures, for `-o json`."""
        times = {name: _ms(value) for name, value in self.latency._asdict().items() if name != "samples"}
        return {
            "events": {
                "written": self.written,
                "in_kafka": self.sent,
                "applied": self.applied,
                "dead_letters": self.dead_letters,
                "by_operation": dict(self.operations),
                "transactions": self.transactions,
                "probes": self.probes,
            },
            "comparison": asdict(self.comparison),
            "latency_ms": {**times, "samples": self.latency.samples, "definition": LATENCY},
            "events_per_second": {"value": round(self.events_per_second, 1), "definition": RATE},
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "exit_codes": dict(self.exit_codes),
            "servers": {server.name: {"version": server.version, "address": server.address} for server in self.servers},
            "kafka_client": self.kafka_client,
            "problems": self.problems,
        }

    def lines(self) -> Iterator[str]:
        """The figures for people, at most 80 columns wide."""
        found, times = self.comparison, self.latency
        kinds = ", ".join(f"{count:,} {name}s" for name, count in self.operations.items())
        yield f"events      {self.written:<9,} {kinds}"
        yield f"{'':<21} in {self.transactions:,} transactions and many bulks; {self.probes:,} latency markers"
        yield f"documents   {found.documents:<9,} each compared with its row"
        yield f"rows        {found.rows:<9,} {found.lost:,} lost, {found.extra:,} extra, {found.differing:,} differing"
        rate = f"{self.events_per_second:,.0f}/s"
        yield f"throughput  {rate:<9} first write to last row in {self.seconds['pipeline']:.1f} s; {self._pace()}"
        yield f"{'':<21} the last row came {max(self.seconds['behind'], 0):.1f} s after the last write"
        yield f"latency     p50 {_text(times.p50)}, p99 {_text(times.p99)}, max {_text(times.max)}: from MongoDB's"
        yield "            acknowledgement (w: majority) to the row being visible; of that,"
        yield "            the broker's poll takes up to 250 ms, collecting a batch 100 ms"
        yield f"took part   {', '.join(f'{server.title} {server.version}' for server in self.servers)},"
        yield f"            {self.kafka_client}, cdc {cdc_cli.__version__}"

    def _pace(self) -> str:
        """Whether the figure is the pipeline's limit, or only the game's pace."""
        return "the game set the pace," if self.seconds["behind"] < _KEPT_UP else "the pipeline set the pace,"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _text(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f} ms"
