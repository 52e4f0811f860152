"""Where the jars of Apache Kafka come from: KAFKA_HOME, or once through Maven into a cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cdc_cli.demo.servers.base import ServerError

KAFKA_VERSION = "4.1.1"
_LOG4J_VERSION = "2.24.3"
_FETCH_SECONDS = 300.0
_HINT = "set KAFKA_HOME to an unpacked Apache Kafka 4, or name your own broker in cdc.yaml (examples/)"

_POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>cdc-toolkit</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{_LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def java() -> Path:
    """The `java` of JAVA_HOME or of the PATH; ServerError when there is none."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        raise ServerError("no Apache Kafka on this machine: it needs Java 17 or newer", hint=_HINT)
    return Path(found)


def kafka_jars() -> Path:
    """The folder with Kafka's jars. The first call on a machine may fetch them (45 MB, seconds to minutes).

    Processes that ask at the same time wait for one another; a broken fetch leaves nothing behind.
    """
    if home := os.environ.get("KAFKA_HOME"):
        return _of_home(Path(home))
    jars = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if not jars.exists():
        with _locked(jars.with_suffix(".lock")):
            if not jars.exists():
                _fetch(jars)
    return jars


def cache_folder() -> Path:
    """Where things are kept that are the same for every run: `~/.cache/cdc-toolkit`, created when missing."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "cdc-toolkit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _of_home(home: Path) -> Path:
    if not any(home.glob("libs/kafka_2.13-*.jar")):
        raise ServerError(f"KAFKA_HOME={home} holds no Apache Kafka (no libs/kafka_2.13-*.jar)", hint=_HINT)
    return home / "libs"


def _fetch(target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerError("no Apache Kafka on this machine, and no Maven (mvn) to fetch it with", hint=_HINT)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kafka-") as name:
        folder = Path(name)
        (folder / "pom.xml").write_text(_POM)
        command = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'libs'}"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as exc:
            raise ServerError(f"Maven took over {_FETCH_SECONDS:.0f} s for Kafka", hint=_HINT) from exc
        if done.returncode != 0:
            reason = done.stdout[-2000:].strip()
            raise ServerError(f"Maven could not fetch Apache Kafka:\n{reason}", hint=_HINT)
        (folder / "libs").rename(target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock is the kernel's, so a killed process does not leave it behind."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
