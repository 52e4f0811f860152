"""The program as a whole: what it offers, and what it does not load for that."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import cdc_cli
from cdc_cli.cli.app import COMMANDS, make_app
from cdc_cli.errors import ExitCode

HEAVY = ("pydantic", "pymongo", "bson", "kafka", "confluent_kafka", "psycopg2", "redis", "yaml", "orjson")

LOADED = """
import json, sys
import cdc_cli.cli.app as app
sys.argv = ["cdc", *sys.argv[1:]]
try:
    app.main()
except SystemExit as end:
    print(json.dumps([end.code or 0, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    """The modules that are loaded at the end of the command."""
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_asking_for_help_loads_neither_drivers_nor_settings(arguments: list[str]) -> None:
    assert sorted(loaded_by(*arguments).intersection(HEAVY)) == []


@pytest.mark.parametrize("command", [["watch"], ["token", "show"], ["config", "validate"]])
def test_the_help_of_a_command_loads_no_driver_either(command: list[str]) -> None:
    loaded = loaded_by(*command, "--help")
    assert sorted(loaded.intersection(HEAVY) - {"pydantic"}) == [], "Typer itself checks lists with pydantic"
    assert "cdc_cli.settings.models" not in loaded


def test_every_command_is_there_in_its_panel() -> None:
    result = CliRunner().invoke(make_app(), ["--help"])
    assert result.exit_code == 0
    panels = [line.split("─")[1].strip() for line in result.output.splitlines() if line.startswith("╭─ ")]
    assert panels == ["Options", "Run", "Observe", "Recover", "Build", "Tools"]
    for command in COMMANDS:
        assert f"│ {command.name} " in result.output


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(make_app(), [name, "--help"])
    assert result.exit_code == 0
    assert f"cdc {name}" in result.output


def test_the_version() -> None:
    result = CliRunner().invoke(make_app(), ["--version"])
    assert (result.output, result.exit_code) == (f"cdc {cdc_cli.__version__}\n", 0)


def test_a_misspelt_command_is_a_usage_error_that_suggests_the_right_one() -> None:
    result = CliRunner().invoke(make_app(), ["wacth"])
    assert result.exit_code == ExitCode.USAGE
    assert "watch" in result.output


def test_a_crash_outside_of_any_command_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("mongodb://app:s3cr3t@db1/")

    monkeypatch.setattr("cdc_cli.cli.app.make_app", broken)
    with pytest.raises(SystemExit) as ended:
        cdc_cli.cli.app.main()  # type: ignore[attr-defined]
    assert ended.value.code == ExitCode.BUG
    written = capsys.readouterr()
    assert "mongodb://********@db1/" in written.err
    assert "s3cr3t" not in written.err + written.out
