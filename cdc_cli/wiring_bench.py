"""The part of the wiring that `cdc bench` needs beside the services: the places that it cleans. See wiring.py."""

from __future__ import annotations

from cdc_cli.bench.kafka import KafkaSite
from cdc_cli.bench.mongodb import MongoSite
from cdc_cli.bench.postgres import PostgresSite
from cdc_cli.clock import Clock
from cdc_cli.settings.kafka_options import kafka_python_options
from cdc_cli.settings.models import Settings

_BOOTSTRAP_MS = 8_000


def mongo_site(settings: Settings) -> MongoSite:
    """Connects at first use."""
    return MongoSite(settings.mongodb)


def kafka_site(settings: Settings, clock: Clock) -> KafkaSite:
    """Connects; raises CdcError."""
    options = {**kafka_python_options(settings.kafka), "client_id": "cdc-bench", "bootstrap_timeout_ms": _BOOTSTRAP_MS}
    return KafkaSite(options, clock)


def postgres_site(settings: Settings) -> PostgresSite:
    """Connects; raises CdcError."""
    return PostgresSite(settings.postgres)
