"""The `*_file` twins: `postgres.dsn_file` names a file that holds `postgres.dsn`."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from cdc_cli.settings.findings import Finding, Severity, printable
from cdc_cli.settings.keys import twins
from cdc_cli.settings.node import Node, find, merge, nested, without
from cdc_cli.settings.secrets import SECRET_KEYS, carries_secret

LARGEST = 64 * 1024
"""Bytes; a larger file is not a secret but the wrong file."""


def resolve_twins(root: Node, findings: list[Finding], *, offline: bool) -> Node:
    """The tree with every twin replaced by the secret from its file. Blocks for the file system.

    Offline, a file that is not there is a warning: where a configuration is checked there are no secrets.
    """
    for twin, path in twins().items():
        node = find(root, twin.split("."))
        if node is None:
            continue
        root = without(root, twin.split("."))
        other = find(root, path.split("."))
        if other is not None:
            message = f"both this and {path} are given ({other.key.text})"
            findings.append(
                Finding("error", "config.secret_twice", twin, message, "keep one of them", node.key)
            )
        else:
            root = merge(root, nested(path, _secret(twin, node, findings, offline)))
    return root


def readable_secrets(files: Iterable[Path], root: Node, findings: list[Finding]) -> None:
    """Warn when a configuration file holds a secret in clear and every user may read it."""
    public = {str(file) for file in files if _is_public(file)}
    for path in SECRET_KEYS:
        node = find(root, path.split("."))
        if node is not None and node.origin.name in public and _is_in_clear(path, node):
            message = "every user of this machine can read this file, and the secret in it"
            suggestion = f"chmod 600 {node.origin.name}, or use ${{VAR}} or {path}_file"
            findings.append(_finding("warning", "config.readable_secret", path, message, suggestion, node))


def _secret(twin: str, node: Node, findings: list[Finding], offline: bool) -> Node:
    """The secret as a node, open (not known) when it cannot be had."""
    unknown = Node("", node.origin, node.key, is_text=True, is_open=True)
    if node.is_open:
        return unknown
    if not isinstance(node.value, str) or not node.value:
        findings.append(
            _finding("error", "config.invalid_value", twin, "the name of a file is expected", "", node)
        )
        return unknown
    file = Path(node.value)
    text, trouble = _read(file)
    if trouble:
        severity: Severity = "warning" if offline else "error"
        message = f"cannot take the secret from {printable(node.value, 200)}: {trouble}"
        findings.append(_finding(severity, "config.secret_file", twin, message, "", node))
        return unknown
    if _is_public(file):
        message = f"every user of this machine can read {printable(node.value, 200)}"
        findings.append(
            _finding("warning", "config.readable_secret", twin, message, f"chmod 600 {node.value}", node)
        )
    return Node(text, node.origin, node.key)


def _read(file: Path) -> tuple[str, str]:
    """(the secret, why there is none)."""
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as exc:
        return "", (exc.strerror or type(exc).__name__).lower()
    except UnicodeDecodeError:
        return "", "it is not UTF-8 text"
    if len(data) > LARGEST:
        return "", "it is larger than 64 KiB"
    if not text:
        return "", "it is empty"
    return (text, "") if text.isprintable() else ("", "it has more than one line, or control characters")


def _is_public(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _is_in_clear(path: str, node: Node) -> bool:
    """Whether the secret itself is written there: a `${VAR}` is not, nor is a URI without a password."""
    return isinstance(node.value, str) and not node.is_text and carries_secret(path, node.value)


def _finding(
    severity: Severity, code: str, path: str, message: str, suggestion: str, node: Node
) -> Finding:
    return Finding(severity, code, path, message, suggestion, node.origin)
