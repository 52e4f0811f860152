"""How long topics keep their records, by kafka-python's admin client."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from kafka.admin import ConfigResource, KafkaAdminClient

from cdc_cli.brokers.kafka_python_client import make
from cdc_cli.observe.log import EventLog

log = EventLog(__name__)


def retentions(options: Mapping[str, Any], topics: Collection[str]) -> Mapping[str, float]:
    """Seconds per topic, `inf` = for ever; only topics whose records are removed for nothing but their age.

    Blocks. A topic that cannot be asked about (no right to describe it, a broker that does not know how) is
    absent: never raises.
    """
    if not topics:
        return {}
    client: Any = None
    try:
        client = make(KafkaAdminClient, options)
        found = client.describe_configs([ConfigResource("TOPIC", topic) for topic in topics])
    except Exception as exc:
        log.debug("topics.not_described", "the retention of the topics is not known: %s", exc)
        return {}
    finally:
        if client is not None:
            client.close()
    known = {topic: _seconds(config) for topic, config in found.get("topic", {}).items()}
    return {topic: seconds for topic, seconds in known.items() if seconds is not None}


def _seconds(config: Mapping[str, Any]) -> float | None:
    values = {name: str(entry.get("value")) for name, entry in config.items()}
    if values.get("retention.bytes", "-1") != "-1" or values.get("cleanup.policy", "delete") != "delete":
        return None
    try:
        ms = int(values["retention.ms"])
    except (KeyError, ValueError):
        return None
    return math.inf if ms < 0 else ms / 1000
