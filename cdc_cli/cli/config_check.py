"""What `cdc config validate` finds, and how it is printed: for people, for machines, for GitHub Actions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdc_cli.cli.probes import Outcome, run_probes, worst
from cdc_cli.errors import ExitCode
from cdc_cli.settings.findings import Finding, InvalidConfig
from cdc_cli.settings.load import find_files, load


@dataclass(frozen=True, slots=True)
class Report:
    """The findings about the files, and about the servers when they were asked."""

    findings: tuple[Finding, ...]
    files: tuple[Path, ...]
    servers: tuple[Outcome, ...] | None
    is_strict: bool

    @property
    def exit_code(self) -> ExitCode:
        """78 for errors (or warnings, when they count), else the worst of the servers."""
        if self._count("error") or (self.is_strict and self._warnings):
            return ExitCode.CONFIG
        return worst(list(self.servers or ()))

    def render(self, output: str) -> str:
        """`text`, `json` or `github`."""
        lines = {"text": self._text, "json": self._json, "github": self._github}
        return lines[output]()

    def _text(self) -> str:
        lines = [finding.text for finding in self.findings]
        for server in self.servers or ():
            lines += _server_lines(server)
        return "\n".join([*lines, self._verdict()])

    def _json(self) -> str:
        servers = self.servers or ()
        summary = {
            "errors": self._count("error"),
            "warnings": self._warnings,
            "files": [str(file) for file in self.files],
            "servers_failed": sum(not server.is_fit for server in servers),
        }
        result = {
            "findings": [finding.as_json() for finding in self.findings],
            "servers": [server.as_json() for server in servers],
        }
        return envelope("config.validate", self.exit_code is ExitCode.OK, summary, result)

    def _github(self) -> str:
        lines = [_annotation(finding) for finding in self.findings]
        for server in self.servers or ():
            kind, title = "notice" if server.is_fit else "error", _property(server.server)
            lines.append(f"::{kind} title={title}::{_data(_sentence(server))}")
            lines += [f"::warning title={title}::{_data(text)}" for text in server.warnings]
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        """`2 errors, 1 warning in cdc.yaml (offline; add --connect to test servers)`."""
        where = ", ".join(map(str, self.files)) or "the environment"
        parts = [_plural(self._count("error"), "error"), _plural(self._warnings, "warning")]
        if self.servers is not None:
            failed = sum(not server.is_fit for server in self.servers)
            parts.append(f"{len(self.servers) - failed} of {len(self.servers)} servers fit")
            return f"{', '.join(parts)} in {where}"
        fine = "OK: " if self.exit_code is ExitCode.OK else ""
        return f"{fine}{', '.join(parts)} in {where} (offline; add --connect to test servers)"

    @property
    def _warnings(self) -> int:
        return self._count("warning") + sum(len(server.warnings) for server in self.servers or ())

    def _count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)


def check(
    files: Sequence[Path],
    environment: Mapping[str, str],
    assignments: Sequence[str],
    *,
    strict: bool,
    connect_within: float | None,
) -> Report:
    """Load, and ask the servers when `connect_within` (seconds) is given. Never raises for what it finds."""
    offline = connect_within is None
    try:
        loaded = load(files, environment, assignments, offline=offline)
    except InvalidConfig as exc:
        read = tuple(files or find_files(environment))
        return Report(exc.findings, read, None, strict)
    servers = None if connect_within is None else tuple(run_probes(loaded.settings, connect_within))
    return Report(loaded.warnings, loaded.files, servers, strict)


def envelope(
    command: str, ok: bool, summary: Mapping[str, Any], result: Any, error: Mapping[str, Any] | None = None
) -> str:
    """The JSON that every command prints; `ok` false without an error means: it worked, the verdict is no."""
    fields = {
        "command": command, "schema": 1, "ok": ok, "summary": summary, "result": result, "error": error,
    }
    return json.dumps(fields, ensure_ascii=False)


def failure(command: str, exc: InvalidConfig) -> str:
    """The envelope of a command that could not begin; `error` is the first mistake, `result` has them all."""
    first = next(finding for finding in exc.findings if finding.severity == "error")
    result = {"findings": [finding.as_json() for finding in exc.findings]}
    return envelope(command, False, {}, result, first.as_json())


def _server_lines(server: Outcome) -> list[str]:
    mark = "OK  " if server.is_fit else "FAIL"
    lines = [f"[{mark}] {server.server}: {_sentence(server)} ({server.seconds:.1f} s)"]
    return lines + [f"[WARN] {server.server}: {text}" for text in server.warnings]


def _sentence(server: Outcome) -> str:
    return f"{server.message}; {server.hint}" if server.hint else server.message


def _annotation(finding: Finding) -> str:
    """https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    origin = finding.origin
    places = {"file": origin.name, "line": origin.line, "col": origin.column} if origin.kind == "file" else {}
    properties = {**places, "title": finding.code}
    given = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value)
    head = " ".join(filter(None, [finding.path, "" if places else finding.place]))
    text = f"{head}: {finding.message}" if head else finding.message
    text += f"; {finding.suggestion}" if finding.suggestion else ""
    return f"::{finding.severity} {given}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
