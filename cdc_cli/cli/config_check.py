"""What `cdc config validate` finds, and how it is printed: for people, for machines, for GitHub Actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc_cli.cli.output import Mark
from cdc_cli.cli.probes import Outcome, run_probes, worst
from cdc_cli.errors import ExitCode
from cdc_cli.settings.findings import Finding, InvalidConfig
from cdc_cli.settings.load import find_files, load


@dataclass(frozen=True, slots=True)
class Report:
    """The findings about the files, and about the servers when they were to be asked and could be."""

    findings: tuple[Finding, ...]
    files: tuple[Path, ...]
    servers: tuple[Outcome, ...]
    is_offline: bool
    is_strict: bool

    @property
    def exit_code(self) -> ExitCode:
        """78 for errors (or warnings, when they count), else the worst of the servers."""
        if self._count("error") or (self.is_strict and self._warnings):
            return ExitCode.CONFIG
        return worst(self.servers)

    @property
    def is_fine(self) -> bool:
        """The verdict."""
        return self.exit_code is ExitCode.OK

    @property
    def summary(self) -> dict[str, object]:
        """The numbers, for the JSON envelope."""
        return {
            "errors": self._count("error"),
            "warnings": self._warnings,
            "files": [str(file) for file in self.files],
            "servers_asked": len(self.servers),
            "servers_failed": self._failed,
        }

    @property
    def result(self) -> dict[str, object]:
        """Everything, for the JSON envelope."""
        return {
            "findings": [finding.as_json() for finding in self.findings],
            "servers": [server.as_json() for server in self.servers],
        }

    def text(self, mark: Callable[[Mark], str]) -> list[str]:
        """One line for each finding and server, and the verdict."""
        lines = [finding.text for finding in self.findings]
        for server in self.servers:
            sign = mark(Mark.OK if server.is_fit else Mark.FAIL)
            lines.append(f"{sign} {server.server}: {_sentence(server)} ({server.seconds:.1f} s)")
            lines += [f"{mark(Mark.WARN)} {server.server}: {text}" for text in server.warnings]
        return [*lines, self._verdict()]

    def github(self) -> list[str]:
        """https://docs.github.com/actions/reference/workflow-commands-for-github-actions, and the verdict."""
        lines = [_annotation(finding) for finding in self.findings]
        for server in self.servers:
            kind, title = "notice" if server.is_fit else "error", _property(server.server)
            lines.append(f"::{kind} title={title}::{_data(_sentence(server))}")
            lines += [f"::warning title={title}::{_data(text)}" for text in server.warnings]
        return [*lines, self._verdict()]

    def _verdict(self) -> str:
        """`2 errors, 1 warning in cdc.yaml (offline; add --connect to test servers)`."""
        where = ", ".join(map(str, self.files)) or "the environment"
        counts = f"{_plural(self._count('error'), 'error')}, {_plural(self._warnings, 'warning')}"
        if self.is_offline:
            note = "offline; add --connect to test servers"
        elif self.servers:
            note = f"{len(self.servers) - self._failed} of {len(self.servers)} servers are fit"
        else:
            note = "no server was asked"
        return f"{'OK: ' if self.is_fine else ''}{counts} in {where} ({note})"

    @property
    def _failed(self) -> int:
        return sum(not server.is_fit for server in self.servers)

    @property
    def _warnings(self) -> int:
        return self._count("warning") + sum(len(server.warnings) for server in self.servers)

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
        return Report(exc.findings, read, (), offline, strict)
    servers = () if connect_within is None else tuple(run_probes(loaded.settings, connect_within))
    return Report(loaded.warnings, loaded.files, servers, offline, strict)


def _sentence(server: Outcome) -> str:
    return f"{server.message}; {server.hint}" if server.hint else server.message


def _annotation(finding: Finding) -> str:
    origin = finding.origin
    in_file = origin.kind == "file"
    places = {"file": origin.name, "line": origin.line, "col": origin.column} if in_file else {}
    properties = {**places, "title": finding.code}
    given = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value)
    head = " ".join(filter(None, [finding.path, "" if in_file else finding.place]))
    text = f"{head}: {finding.message}" if head else finding.message
    text += f"; {finding.suggestion}" if finding.suggestion else ""
    return f"::{finding.severity} {given}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
