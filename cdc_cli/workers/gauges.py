"""How far behind the services are, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cdc_cli.consume.lag import Lag, LagMeter
from cdc_cli.observe.metrics import LabelledGauge

_BY_PARTITION = ("topic", "partition")


def sync_gauges(meter: LagMeter) -> Sequence[LabelledGauge]:
    """Of each partition that `cdc sync` reads in this process."""

    def each(choose: Callable[[Lag], float | None]) -> Callable[[], Mapping[tuple[str, ...], float]]:
        def read() -> Mapping[tuple[str, ...], float]:
            chosen = {partition: choose(lag) for partition, lag in meter.lags().items()}
            return {(topic, str(number)): v for (topic, number), v in chosen.items() if v is not None}

        return read

    records = "records that Kafka has and PostgreSQL has not, by what the last fetch told"
    seconds = "seconds since the commit in MongoDB of the oldest change not yet in PostgreSQL; 0 = none"
    return [
        LabelledGauge("cdc_consumer_lag_records", records, _BY_PARTITION, each(lambda lag: lag.records)),
        LabelledGauge("cdc_sink_lag_seconds", seconds, _BY_PARTITION, each(lambda lag: lag.seconds)),
    ]
