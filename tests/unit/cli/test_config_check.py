"""How the verdict on a configuration is printed and which exit code it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_cli.cli.config_check import Report, check
from cdc_cli.cli.probes import Outcome
from cdc_cli.errors import ExitCode
from cdc_cli.settings.findings import Finding, Origin

WARNING = Finding("warning", "config.w", "a.b", "odd", "", Origin("environment", "CDC_A__B"))
ERROR = Finding("error", "config.e", "a.b", "100% wrong\nreally", "x", Origin("file", "a,b:c.yaml", 3, 5))


def report(*findings: Finding, servers: tuple[Outcome, ...] = (), strict: bool = False) -> Report:
    return Report(findings, (Path("c.yaml"),), servers, not servers, strict)


def test_warnings_fail_only_when_strict() -> None:
    assert report(WARNING).exit_code is ExitCode.OK
    assert report(WARNING, strict=True).exit_code is ExitCode.CONFIG
    assert report(strict=True).exit_code is ExitCode.OK
    warned = Outcome("Redis", 0.1, "fine", warnings=("does not persist",))
    assert report(servers=(warned,)).exit_code is ExitCode.OK
    assert report(servers=(warned,), strict=True).exit_code is ExitCode.CONFIG


def test_github_annotations_escape_what_would_end_them() -> None:
    first, second, verdict = report(ERROR, WARNING).github()
    assert first == ("::error file=a%2Cb%3Ac.yaml,line=3,col=5,title=config.e::a.b: 100%25 wrong%0Areally; x")
    assert second == "::warning title=config.w::a.b env CDC_A__B: odd"
    assert verdict == "1 error, 1 warning in c.yaml (offline; add --connect to test servers)"


def test_a_server_is_one_line_and_its_warnings() -> None:
    fit = Outcome("Redis", 0.12, "fine", warnings=("does not persist",))
    failed = Outcome("Kafka", 2.0, "no", "start it", code=ExitCode.UNREACHABLE)
    assert report(servers=(fit, failed)).text(lambda mark: mark.value) == [
        "ok Redis: fine (0.1 s)",
        "warn Redis: does not persist",
        "fail Kafka: no; start it (2.0 s)",
        "0 errors, 1 warning in c.yaml (1 of 2 servers are fit)",
    ]


@pytest.mark.requirement("R11.4")
def test_without_a_configuration_no_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = check([], {"HOME": "/nowhere"}, [], strict=False, connect_within=1.0)
    assert (found.exit_code, found.servers) == (ExitCode.CONFIG, ())
    assert found.text(str)[-1] == "1 error, 0 warnings in the environment (no server was asked)"
