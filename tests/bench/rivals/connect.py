"""A Kafka Connect worker (standalone) with one connector."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from cdc_cli.demo.servers.base import EmbeddedServer
from cdc_cli.demo.servers.kafka_jars import java
from tests.bench.rivals.jars import RUNTIME, Bundle, folder

Properties = Mapping[str, str]

# The heap of bin/connect-standalone.sh. With the G1 of Kafka's scripts Debezium had half the rate on two cores.
_JVM = ("-Xms256M", "-Xmx2G", "-server", "-XX:+UseParallelGC", "-Djava.awt.headless=true")

_LOG4J = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{HH:mm:ss.SSS} %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
    <Logger name="org.apache.kafka.connect.runtime.rest.RestServer" level="WARN"/>
  </Loggers>
</Configuration>
"""


class Worker(EmbeddedServer):
    """Started = its connector and all its tasks say RUNNING over the REST interface. The name of its folder is that of
    the connector and so of a sink's consumer group: a folder of its own for each run.
    """

    name: ClassVar[str] = "connect"
    start_timeout: ClassVar[float] = 120.0

    def __init__(self, place: Path, bootstrap: str, plugin: Bundle, connector: Properties) -> None:
        super().__init__(place)
        self._bootstrap = bootstrap
        self._plugin = plugin
        self._connector = {"name": place.name, **connector}

    @property
    def cpu(self) -> float:
        """Seconds of CPU that the worker has used, its JVM's start included; 0 when it does not run."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mb(self) -> float:
        """Its peak resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def check(self) -> None:
        """Raises ServerError when the worker or a task has failed."""
        if not self.running:
            raise self._failure("ended")
        for part in self._parts():
            if part["state"] == "FAILED":
                raise self._failure(f"failed: {part.get('trace')}")

    def _prepare(self) -> list[str]:
        worker = {
            "bootstrap.servers": self._bootstrap,
            "listeners": f"http://{self.address}",
            "offset.storage.file.filename": str(self.folder / "offsets"),
            "plugin.path": str(folder(self._plugin)),
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        }
        log4j = self.folder / "log4j2.xml"
        log4j.write_text(_LOG4J)
        run = [str(java()), *_JVM, f"-Dlog4j2.configurationFile={log4j}"]
        run += ["-cp", f"{folder(RUNTIME)}/jars/*"]
        files = [self._write("worker", worker), self._write("connector", self._connector)]
        return [*run, "org.apache.kafka.connect.cli.ConnectStandalone", *files]

    def _write(self, name: str, properties: Properties) -> str:
        path = self.folder / f"{name}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return str(path)

    def _answers(self) -> bool:
        self.check()
        states = [part["state"] for part in self._parts()]
        return len(states) > 1 and set(states) == {"RUNNING"}

    def _parts(self) -> list[dict[str, str]]:
        """What the worker says of the connector and of its tasks; nothing before it answers."""
        url = f"http://{self.address}/connectors/{self._connector['name']}/status"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                status = json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return []
        return [status["connector"], *status["tasks"]]
