"""Loading the configuration: option > environment > later file > earlier file > default.

Every mistake is found in one go: each step reports and goes on with what it knows, and only the end raises.
Relative names of files in the configuration are relative to the working directory, as in a shell.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc_cli.settings.findings import DEFAULT, Finding, InvalidConfig, Origin
from cdc_cli.settings.keys import keys
from cdc_cli.settings.models import Settings
from cdc_cli.settings.node import Node, find, merge
from cdc_cli.settings.overlays import CONFIG_VARIABLE, from_environment, from_options
from cdc_cli.settings.rules import check_rules
from cdc_cli.settings.secret_files import readable_secrets, resolve_twins
from cdc_cli.settings.validate import validate
from cdc_cli.settings.yaml_file import read_yaml


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, where each value was given (by dotted path, every key), warnings, and the files read.

    `unknown` are paths whose variable or secret file is not there; only offline, where that is a warning.
    Their values in `settings` stand for nothing.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    warnings: tuple[Finding, ...]
    files: tuple[Path, ...]
    unknown: frozenset[str] = frozenset()


def load(
    paths: Sequence[Path | str],
    environment: Mapping[str, str],
    overrides: Iterable[str] = (),
    *,
    offline: bool = False,
) -> Loaded:
    """Read and check the configuration; `overrides` are `section.key=value`, the last one wins.

    Without `paths` the file is searched for: $CDC_CONFIG, ./cdc.yaml, $XDG_CONFIG_HOME/cdc/cdc.yaml,
    /etc/cdc/cdc.yaml. `offline` is for checking where it will not run: variables and secret files that are
    not there are warnings. Blocks for the file system only. Raises InvalidConfig with all findings.
    """
    findings: list[Finding] = []
    files = [Path(path) for path in paths] or find_files(environment)
    root = Node({}, DEFAULT)
    for number, file in enumerate(files):
        tree = read_yaml(file, environment, findings, offline=offline)
        root = merge(root, tree) if number else tree
    root = merge(root, from_environment(environment, findings))
    root = merge(root, from_options(overrides, findings))
    if not files and not root.value:
        raise InvalidConfig([_no_file(environment), *findings])
    readable_secrets(files, root, findings)
    root = resolve_twins(root, findings, offline=offline)
    settings, unknown = validate(root, findings)
    check_rules(settings, unknown, root, findings, offline=offline)
    if any(finding.severity == "error" for finding in findings):
        raise InvalidConfig(sorted(findings, key=_order))
    return Loaded(settings, _origins(root), tuple(sorted(findings, key=_order)), tuple(files), unknown)


def find_files(environment: Mapping[str, str]) -> list[Path]:
    """The files of $CDC_CONFIG, else the first default file that exists, else none."""
    if environment.get(CONFIG_VARIABLE):
        return [Path(part) for part in environment[CONFIG_VARIABLE].split(os.pathsep) if part]
    return [path for path in default_files(environment) if path.is_file()][:1]


def default_files(environment: Mapping[str, str]) -> list[Path]:
    """Where the configuration is looked for, in this order."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".config"
    return [Path("cdc.yaml"), Path(home) / "cdc" / "cdc.yaml", Path("/etc/cdc/cdc.yaml")]


def _no_file(environment: Mapping[str, str]) -> Finding:
    places = ", ".join(str(path) for path in default_files(environment))
    message = f"no configuration found: looked for {places}"
    return Finding("error", "config.no_file", "", message, "start from cdc.yaml.example, or give -c FILE")


def _origins(root: Node) -> dict[str, Origin]:
    found = {path: find(root, path.split(".")) for path in keys()}
    return {path: node.origin if node else DEFAULT for path, node in found.items()}


def _order(finding: Finding) -> tuple[bool, str, int, int]:
    """Files first, each from top to bottom."""
    origin = finding.origin
    return origin.kind != "file", origin.name, origin.line or 0, origin.column or 0
