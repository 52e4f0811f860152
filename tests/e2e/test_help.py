"""The installed command, asked what it is: as a user meets it first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import cdc_cli
from cdc_cli.errors import ExitCode


def cdc(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m cdc_cli` with those arguments, away from any terminal."""
    return subprocess.run(
        [sys.executable, "-m", "cdc_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def test_the_module_and_the_command_are_the_same_program() -> None:
    done = cdc("--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"cdc {cdc_cli.__version__}\n", "", 0)


def test_help_shows_the_commands_without_escape_sequences_off_a_terminal() -> None:
    done = cdc("--help")
    assert done.returncode == 0
    assert "Usage: cdc [OPTIONS] COMMAND" in done.stdout
    assert "\x1b" not in done.stdout
    for command in ("watch", "sync", "run", "token", "config"):
        assert f" {command} " in done.stdout


def test_no_arguments_is_the_help_and_a_usage_error() -> None:
    done = cdc()
    assert done.returncode == ExitCode.USAGE
    assert "Usage: cdc" in done.stdout + done.stderr


def test_an_unknown_option_is_a_usage_error_on_stderr() -> None:
    done = cdc("watch", "--wrokers", "3")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "No such option: --wrokers" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "offered"), [("cdc wa", "watch"), ("cdc token sh", "show"), ("cdc sync --conf", "--config")]
)
def test_bash_completes_commands_and_options(typed: str, offered: str) -> None:
    words = typed.split(" ")
    done = cdc(_CDC_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1))
    assert offered in done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script_for_every_shell(shell: str) -> None:
    done = cdc(_CDC_COMPLETE=f"source_{shell}")
    assert "_CDC_COMPLETE" in done.stdout


@pytest.mark.requirement("R11.4")
@pytest.mark.parametrize("command", ["watch", "sync", "run"])
def test_a_start_without_configuration_says_what_to_do(command: str, tmp_path: object) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "cdc_cli", command],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=str(tmp_path),
        env={**os.environ, **home, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (ExitCode.CONFIG, "")
    assert "no configuration found" in done.stderr
    assert "cdc.yaml.example" in done.stderr
    assert '"log.level":"error"' in done.stderr
