"""What overrides the files: `CDC_SECTION__KEY` variables and `--set section.key=value`. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from cdc_cli.settings.findings import DEFAULT, Finding, Origin, did_you_mean, printable
from cdc_cli.settings.keys import environment_name, environment_names, keys, sections, twins
from cdc_cli.settings.node import Node, merge, nested
from cdc_cli.settings.secrets import SECRET_KEYS, carries_secret

CONFIG_VARIABLE = "CDC_CONFIG"
"""Names the file, as `-c` does; several are separated like the folders in PATH."""


def from_environment(environment: Mapping[str, str], findings: list[Finding]) -> Node:
    """The tree of all our variables. A misspelt `CDC_A__B` is an error, else nobody would notice."""
    known = environment_names()
    tree = Node({}, DEFAULT)
    for name, text in sorted(environment.items()):
        if not name.startswith("CDC_") or name == CONFIG_VARIABLE:
            continue
        origin = Origin("environment", name)
        if name in known:
            leaf = Node(text, origin, origin, is_text=True)
            tree = merge(tree, nested(known[name], leaf))
        elif "__" in name:
            near = did_you_mean_variable(name, known)
            message = "no key of cdc.yaml has this name"
            findings.append(Finding("error", "config.unknown_variable", "", message, near, origin))
        elif near := _resembling(name, known):
            message = "this variable is not used"
            findings.append(Finding("warning", "config.unknown_variable", "", message, near, origin))
    return tree


def from_options(assignments: Iterable[str], findings: list[Finding]) -> Node:
    """The tree of all `--set a.b=value`; the last one wins."""
    tree = Node({}, DEFAULT)
    for path, leaf in _assignments(assignments, findings):
        tree = merge(tree, nested(path, leaf))
    return tree


def did_you_mean_variable(name: str, known: Iterable[str]) -> str:
    """`did you mean CDC_POSTGRES__DSN?`, or nothing."""
    near = difflib.get_close_matches(name.upper()[:100], list(known), n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else ""


def _resembling(name: str, known: Iterable[str]) -> str:
    """Kubernetes sets CDC_PORT and the like for a service named cdc: only what is nearly ours is reported."""
    names = [*known, *(environment_name(path) for path in sections() if path)]
    squeezed = {other.replace("_", ""): other for other in names}
    near = squeezed.get(name.upper().replace("_", ""))
    if near and near not in known:
        return "a section cannot be set as a whole: set its keys"
    return f"did you mean {near}?" if near else ""


def _assignments(assignments: Iterable[str], findings: list[Finding]) -> Iterator[tuple[str, Node]]:
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        path = path.strip()
        origin = Origin("option", f"--set {printable(path)}")
        finding = _refusal(path, equals, text, origin)
        if finding is None:
            yield path, Node(text, origin, origin, is_text=True)
        else:
            findings.append(finding)


def _refusal(path: str, equals: str, text: str, origin: Origin) -> Finding | None:
    known = [*keys(), *twins()]
    if not equals:
        # The text before "=" is echoed above only when there is one: without it, it may be the value.
        origin = Origin("option", "--set")
        return Finding("error", "config.invalid_option", "", "expected section.key=value", "", origin)
    if path in sections():
        message = "this is a section; set one of its keys"
        return Finding("error", "config.invalid_option", path, message, "", origin)
    if path not in known:
        near = did_you_mean(path, known)
        return Finding("error", "config.unknown_key", printable(path), "there is no such key", near, origin)
    if path in SECRET_KEYS and carries_secret(path, text):
        message = "a secret on the command line can be read in the process list by every user"
        suggestion = f"use {environment_name(path)} or {path}_file"
        return Finding("error", "config.exposed_secret", path, message, suggestion, origin)
    return None
