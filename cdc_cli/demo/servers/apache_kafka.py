"""Apache Kafka 4 itself: one KRaft node with its data on disk, for everything that must survive a restart."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cdc_cli.demo.servers.base import EmbeddedServer
from cdc_cli.demo.servers.kafka_jars import java, kafka_jars
from cdc_cli.demo.servers.process import LOCALHOST, free_port

_MAX_RECORD = 32 * 1024 * 1024
_STARTED = b"Kafka Server started"
_FAST_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true")

_SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "message.max.bytes": str(_MAX_RECORD),
    "replica.fetch.max.bytes": str(_MAX_RECORD),
    "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "broker.heartbeat.interval.ms": "400",
    "broker.session.timeout.ms": "2000",
}

_LOG4J = """\
<Configuration status="WARN">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d{HH:mm:ss.SSS} %p %c{1}: %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
    <Logger name="kafka.server.KafkaConfig" level="WARN"/>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class Listener:
    """A further door of the broker. `advertised` (`host:port`) is what clients are told to come back to: a
    proxy that stands in front, for instance. Its protocol is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
    """

    name: str
    port: int
    protocol: str = "PLAINTEXT"
    advertised: str = ""

    @property
    def reached_at(self) -> str:
        """The `host:port` that clients are told."""
        return self.advertised or f"{LOCALHOST}:{self.port}"


class ApacheKafka(EmbeddedServer):
    """Data and port survive `kill()`. `properties` are lines of server.properties and win over ours.

    `protocol` and `advertised` are those of the main listener, named MAIN: its SASL or SSL settings are given
    as properties with the prefix `listener.name.main.`.
    """

    name: ClassVar[str] = "kafka"
    start_timeout: ClassVar[float] = 90.0

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        protocol: str = "PLAINTEXT",
        advertised: str = "",
        listeners: Sequence[Listener] = (),
        partitions: int = 1,
        properties: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        keep: bool = False,
    ) -> None:
        super().__init__(folder, port, keep=keep)
        self.listeners = (Listener("MAIN", self.port, protocol, advertised), *listeners)
        self.partitions = partitions
        self.properties = dict(properties or {})
        self.heap_mb = heap_mb
        self._controller_port = free_port()
        self._log_start = 0

    @property
    def bootstrap(self) -> str:
        """The address of the main listener, for `bootstrap_servers`."""
        return self.address

    def _prepare(self) -> list[str]:
        jars = kafka_jars()
        config = self.folder / "server.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
        log4j = self.folder / "log4j2.xml"
        log4j.write_text(_LOG4J)
        run = [str(java()), f"-Xmx{self.heap_mb}m", "-Xms256m", *_FAST_JVM]
        run += [f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{jars}/*"]
        if not (self.folder / "data" / "meta.properties").exists():
            self._format([*run, "kafka.tools.StorageTool"], config)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        return [*run, "kafka.Kafka", str(config)]

    def _settings(self) -> dict[str, str]:
        doors = [*self.listeners, Listener("CONTROLLER", self._controller_port)]
        return {
            **_SETTINGS,
            "listeners": ",".join(f"{door.name}://{LOCALHOST}:{door.port}" for door in doors),
            "advertised.listeners": ",".join(f"{door.name}://{door.reached_at}" for door in self.listeners),
            "listener.security.protocol.map": ",".join(f"{door.name}:{door.protocol}" for door in doors),
            "inter.broker.listener.name": "MAIN",
            "controller.quorum.voters": f"1@{LOCALHOST}:{self._controller_port}",
            "log.dirs": str(self.folder / "data"),
            "num.partitions": str(self.partitions),
            **self.properties,
        }

    def _format(self, tool: list[str], config: Path) -> None:
        cluster = "c" + urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]  # a leading "-" is an option
        with self.log.open("ab") as output:
            command = [*tool, "format", "--cluster-id", cluster, "--config", str(config)]
            code = subprocess.call(command, stdout=output, stderr=output, timeout=60)
        if code != 0:
            raise self._failure(f"could not format its data folder (exit code {code})")

    def _answers(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return _STARTED in log.read()
