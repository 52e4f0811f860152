"""Kafka Connect and its plugins: fetched once through Maven into the cache folder, a folder of jars for each."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cdc_cli.demo.servers.kafka_jars import cache_folder

_FETCH_SECONDS = 600

# What the worker brings itself, and the archives of these connectors therefore leave out.
_PROVIDED = (
    "org.apache.kafka,com.fasterxml.jackson.core,org.slf4j,org.lz4,at.yawk.lz4,org.xerial.snappy,com.github.luben"
)


@dataclass(frozen=True)
class Bundle:
    """What one folder of jars is made of: `group:artifact:version`, the first of which gives the folder its name."""

    artifacts: tuple[str, ...]
    excluded: str = ""
    """`group:artifact` that the first of them asks for and that is not to be fetched."""

    @property
    def label(self) -> str:
        """`artifact version` of the first."""
        _, artifact, version = self.artifacts[0].split(":")
        return f"{artifact} {version}"

    @property
    def version(self) -> str:
        """Of the first."""
        return self.artifacts[0].split(":")[2]


# The version that Debezium 3.6 is built with; the broker is older, which clients of Kafka do not mind.
RUNTIME = Bundle(("org.apache.kafka:connect-runtime:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"))
DEBEZIUM_SOURCE = Bundle(("io.debezium:debezium-connector-mongodb:3.6.1.Final",))
MONGO_SOURCE = Bundle(("org.mongodb.kafka:mongo-kafka-connect:2.0.1",))
# It asks for Hibernate 7.2.6.Final, whose connection pool was not to be had; 7.2.19.Final is the same line.
DEBEZIUM_SINK = Bundle(
    (
        "io.debezium:debezium-connector-jdbc:3.6.0.Final",
        "org.hibernate.orm:hibernate-core:7.2.19.Final",
        "org.hibernate.orm:hibernate-agroal:7.2.19.Final",
    ),
    excluded="org.hibernate:hibernate-agroal",
)


def folder(bundle: Bundle) -> Path:
    """The folder with its jars in `jars`, as plugin.path wants it.

    The first call on a machine fetches them (seconds to minutes); raises RuntimeError when it cannot.
    """
    target = cache_folder() / "connect" / bundle.label.replace(" ", "-")
    if not (target / "jars").exists():
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as name:
            (Path(name) / "pom.xml").write_text(_pom(bundle))
            _fetch(bundle, Path(name))
            target.mkdir(exist_ok=True)
            (Path(name) / "jars").rename(target / "jars")
    return target


def _fetch(bundle: Bundle, place: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise RuntimeError("no Maven (mvn) to fetch the connectors with")
    command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
    command.append(f"-DoutputDirectory={place / 'jars'}")
    if bundle is not RUNTIME:
        command.append(f"-DexcludeGroupIds={_PROVIDED}")
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"Maven could not fetch the connectors:\n{done.stdout[-2000:].strip()}")


def _pom(bundle: Bundle) -> str:
    exclusions = ""
    if bundle.excluded:
        group, artifact = bundle.excluded.split(":")
        inner = f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        exclusions = f"<exclusions><exclusion>{inner}</exclusion></exclusions>"
    dependencies = []
    for coordinates in bundle.artifacts:
        group, artifact, version = coordinates.split(":")
        inner = f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
        dependencies.append(f"<dependency>{inner}{exclusions}</dependency>")
        exclusions = ""
    head = "<modelVersion>4.0.0</modelVersion><groupId>cdc-toolkit</groupId><artifactId>connect</artifactId>"
    packaging = "<version>1</version><packaging>pom</packaging>"
    return f"<project>{head}{packaging}<dependencies>{''.join(dependencies)}</dependencies></project>"
