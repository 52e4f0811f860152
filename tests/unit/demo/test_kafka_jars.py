"""Kafka's jars are fetched once per machine, whole or not at all; Maven is a script here."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cdc_cli.demo.servers.base import ServerError
from cdc_cli.demo.servers.kafka_jars import KAFKA_VERSION, kafka_jars

GOOD = """\
echo run >> "$RUNS"
for word; do
  case $word in -DoutputDirectory=*) mkdir "${word#*=}" && touch "${word#*=}/k.jar";; esac
done
"""
BAD = 'mkdir libs; echo "no route to host"; exit 1'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "cache" / "cdc-toolkit"


def maven_that(script: str, tmp_path: Path) -> None:
    program = tmp_path / "mvn"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_many_who_ask_at_once_fetch_once(cache: Path, tmp_path: Path) -> None:
    maven_that(GOOD, tmp_path)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(kafka_jars())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / f"kafka-{KAFKA_VERSION}"] * 4
    assert (found[0] / "k.jar").exists()
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_failed_fetch_leaves_nothing_and_says_why_and_what_else_helps(cache: Path, tmp_path: Path) -> None:
    maven_that(BAD, tmp_path)
    with pytest.raises(ServerError, match="no route to host") as caught:
        kafka_jars()
    assert "KAFKA_HOME" in caught.value.hint
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_kafka_home_wins_and_must_hold_kafka(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(ServerError, match="holds no Apache Kafka"):
        kafka_jars()
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.0.0.jar").touch()
    assert kafka_jars() == tmp_path / "libs"
