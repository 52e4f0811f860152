"""A YAML file to a tree of placed values: read, compose, refuse duplicates and traps, expand `${VAR}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from yaml import nodes

from cdc_cli.settings.compose import BROKEN, compose
from cdc_cli.settings.expand import expand
from cdc_cli.settings.findings import Finding, Origin, Severity, printable
from cdc_cli.settings.node import Node, Step, dotted
from cdc_cli.settings.scalars import plain_value, trap

LARGEST = 1 << 20
"""Bytes; a configuration is a few kB, and composing is slow enough that a wrong file would seem to hang."""


def read_yaml(path: Path, environment: Mapping[str, str], findings: list[Finding], *, offline: bool) -> Node:
    """The tree of a file; an empty or unusable one is an empty tree, with the reason in `findings`."""
    origin = Origin("file", str(path))
    empty = Node({}, Origin("file", str(path), 1, 1))
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError("it is larger than 1 MiB")
        text = data.decode("utf-8-sig")
    except OSError as exc:
        message = f"cannot read this file: {exc.strerror or type(exc).__name__}"
        findings.append(Finding("error", "config.unreadable_file", "", message, "", origin))
        return empty
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        place = Origin("file", str(path), line, 1)
        findings.append(Finding("error", "config.syntax", "", "this is not UTF-8 text", "", place))
        return empty
    except ValueError as exc:
        message = f"this cannot be a configuration: {exc}"
        findings.append(Finding("error", "config.too_large", "", message, "", origin))
        return empty
    root = compose(text, str(path), findings)
    return _Reader(str(path), environment, findings, offline).root(root) or empty


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns PyYAML's nodes into ours."""

    file: str
    environment: Mapping[str, str]
    findings: list[Finding] = field(repr=False)
    offline: bool

    def root(self, root: nodes.Node | None) -> Node | None:
        """The tree; None for an empty document or one that is not a mapping."""
        if root is None or (isinstance(root, nodes.ScalarNode) and not root.value):
            return None
        if not isinstance(root, nodes.MappingNode):
            self._report("config.syntax", (), "the file must be a mapping of keys to values", self._at(root))
            return None
        return self._node(root, (), self._at(root))

    def _node(self, node: nodes.Node, path: tuple[Step, ...], key: Origin) -> Node:
        origin = self._at(node)
        if node.tag == BROKEN:
            return Node(None, origin, key, is_open=True)
        if isinstance(node, nodes.MappingNode):
            return Node(self._mapping(node, path), origin, key)
        if isinstance(node, nodes.SequenceNode):
            items = [self._node(item, (*path, n), self._at(item)) for n, item in enumerate(node.value)]
            return Node(items, origin, key)
        assert isinstance(node, nodes.ScalarNode)
        return self._scalar(node, path, key)

    def _mapping(self, node: nodes.MappingNode, path: tuple[Step, ...]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in node.value:
            place = self._at(key)
            if key.tag == BROKEN:
                continue
            if not isinstance(key, nodes.ScalarNode):
                self._report("config.unknown_key", path, "a key must be a word", place)
                continue
            name = key.value
            where = (*path, printable(name))
            if name == "<<" and not key.style:
                self._report("config.alias", path, "merge keys (<<) are not supported", place)
            elif name in found:
                first = f"this key is already on line {found[name].key.line}"
                self._report("config.duplicate_key", where, first, place, "keep one of them")
            else:
                found[name] = self._node(value, where, place)
        return found

    def _scalar(self, node: nodes.ScalarNode, path: tuple[Step, ...], key: Origin) -> Node:
        origin, text, is_plain = self._at(node), node.value, node.style is None
        expanded = expand(text, self.environment)
        if expanded.is_malformed:
            example = "write ${NAME} or ${NAME:-default}; $${ is a literal ${"
            self._report("config.invalid_variable", path, "this is not a variable reference", origin, example)
            return Node(None, origin, key, is_open=True)
        for name in expanded.unset:
            self._unset(name, path, origin)
        if expanded.unset:
            return Node(text, origin, key, is_text=True, is_open=True)
        if expanded.has_reference:
            value = None if is_plain and not expanded.text else expanded.text
            return Node(value, origin, key, is_text=value is not None)
        if is_plain and (reason := trap(text)):
            suggestion = "put text in quotes; write true or false, or a plain decimal number"
            self._report("config.ambiguous_value", path, reason, origin, suggestion)
            return Node(None, origin, key, is_open=True)
        return Node(plain_value(text) if is_plain and text == expanded.text else expanded.text, origin, key)

    def _unset(self, name: str, path: tuple[Step, ...], origin: Origin) -> None:
        severity: Severity = "warning" if self.offline else "error"
        message = f"the environment variable {printable(name)} is not set"
        suggestion = f"set it, or give a default: ${{{printable(name)}:-...}}"
        self.findings.append(
            Finding(severity, "config.unset_variable", dotted(path), message, suggestion, origin)
        )

    def _report(
        self, code: str, path: tuple[Step, ...], message: str, origin: Origin, suggestion: str = ""
    ) -> None:
        self.findings.append(Finding("error", code, dotted(path), message, suggestion, origin))

    def _at(self, node: nodes.Node) -> Origin:
        return Origin("file", self.file, node.start_mark.line + 1, node.start_mark.column + 1)
