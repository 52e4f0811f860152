"""Stopping servers that an earlier process has left: exactly those, and nobody who got their number since."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_cli.demo import kept
from cdc_cli.demo.servers import EmbeddedServer
from cdc_cli.demo.servers.process import wait_until
from cdc_cli.errors import ConfigError


class Sleeper(EmbeddedServer):
    """A process that does nothing until it is told to end."""

    name = "sleeper"

    def _prepare(self) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(300)"]

    def _answers(self) -> bool:
        return True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sleeper]:
    with Sleeper(tmp_path / "demo" / "sleeper", keep=True) as server:
        yield server


def test_recorded_servers_are_ended_and_the_folder_is_removed(server: Sleeper) -> None:
    folder = server.folder.parent
    kept.record(folder, [server])
    assert kept.stop(folder) == ["sleeper"]
    assert wait_until(lambda: not server.running, 5)
    assert not folder.exists()


def test_a_process_that_merely_has_the_number_is_left_alone(server: Sleeper) -> None:
    folder = server.folder.parent
    kept.record(folder, [server])
    record = folder / "demo.json"
    content = json.loads(record.read_text())
    content["servers"][0]["started"] -= 1
    record.write_text(json.dumps(content))
    assert kept.stop(folder) == []
    assert server.running


def test_a_server_that_has_ended_already_is_no_error(server: Sleeper) -> None:
    folder = server.folder.parent
    kept.record(folder, [server])
    server.kill()
    assert kept.stop(folder) == []


@pytest.mark.parametrize("content", [None, "", "[]", '{"other": 1}'])
def test_a_folder_of_somebody_else_is_refused_and_kept(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "precious").touch()
    if content is not None:
        (tmp_path / "demo.json").write_text(content)
    with pytest.raises(ConfigError, match="cannot stop a demonstration"):
        kept.stop(tmp_path)
    assert (tmp_path / "precious").exists()


def test_importing_the_command_loads_no_driver() -> None:
    code = "import sys, cdc_cli.cli.demo; print([m for m in ('pymongo', 'kafka', 'psycopg2') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
