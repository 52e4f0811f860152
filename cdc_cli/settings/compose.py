"""YAML text to a PyYAML node tree, and nothing more: no object is ever constructed from a tag.

Refused: tags (`!!python/object`), aliases and merge keys (an alias bomb of 1 kB grows to gigabytes), more
than one document, nesting deeper than any configuration needs. Plain scalars get their type in `scalars.py`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.error import Mark
from yaml.events import AliasEvent
from yaml.nodes import Node, ScalarNode

from cdc_cli.settings.findings import Finding, Origin

DEEPEST = 32
_QUOTED = re.compile(r"'[^']{2,}'")


def compose(text: str, file: str, findings: list[Finding]) -> Node | None:
    """The root of the only document, None when it is empty or broken; what is wrong goes to `findings`."""
    loader: _Composer | None = None
    try:
        loader = _Composer(text, file, findings)
        return loader.get_single_node()
    except _TooDeep as exc:
        findings.append(_error("config.too_deep", f"more than {DEEPEST} levels of nesting", exc.origin))
    except yaml.MarkedYAMLError as exc:
        origin = _origin(file, exc.problem_mark or exc.context_mark)
        findings.append(_error("config.syntax", f"this is not YAML: {_problem(exc)}", origin, _hint(exc)))
    except (ValueError, OverflowError):
        # PyYAML's scanner lets the error of chr() through for an escape such as "\UFFFFFFFF".
        origin = _origin(file, loader.get_mark()) if loader else Origin("file", file)
        findings.append(_error("config.syntax", "an escape in a quoted text names no character", origin))
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        message = f"the character U+{_code_point(exc):04X} is not allowed in YAML"
        findings.append(_error("config.syntax", message, Origin("file", file, line, 1)))
    return None


class _TooDeep(Exception):
    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self.origin = origin


class _Composer(yaml.SafeLoader):
    """PyYAML's composer, that reports tags and aliases and goes on."""

    def __init__(self, text: str, file: str, findings: list[Finding]) -> None:
        super().__init__(text)
        self._file = file
        self._findings = findings
        self._depth = 0

    def compose_node(self, parent: Node | None, index: object) -> Node | None:
        """The next node; an alias becomes an empty scalar, which has been reported."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        origin = _origin(self._file, event.start_mark)
        if isinstance(event, AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self._refuse("config.alias", "aliases (*name) are not supported", "write the value again", origin)
            return ScalarNode(BROKEN, "", event.start_mark, event.end_mark)  # type: ignore[arg-type]
        is_tagged = getattr(event, "tag", None) is not None
        if is_tagged:
            self._refuse("config.tag", "YAML tags (!name) are not supported", "quote text with !", origin)
            event.tag = None
        if self._depth >= DEEPEST:
            raise _TooDeep(origin)
        self._depth += 1
        try:
            node = super().compose_node(parent, index)  # type: ignore[arg-type]
        finally:
            self._depth -= 1
        if is_tagged and isinstance(node, ScalarNode):
            node.tag = BROKEN
        return node

    def _refuse(self, code: str, message: str, suggestion: str, origin: Origin) -> None:
        self._findings.append(_error(code, message, origin, suggestion))


BROKEN = "broken"
"""The tag of a node that has been reported already."""


def _error(code: str, message: str, origin: Origin, suggestion: str = "") -> Finding:
    return Finding("error", code, "", message, suggestion, origin)


def _origin(file: str, mark: Mark | None) -> Origin:
    if mark is None:
        return Origin("file", file)
    return Origin("file", file, mark.line + 1, mark.column + 1)


def _problem(exc: yaml.MarkedYAMLError) -> str:
    """PyYAML's reason without what it quotes from the file: that may be a piece of a secret."""
    words = [re.sub(_QUOTED, _harmless, part) for part in (exc.context, exc.problem) if part]
    return ", ".join(words) or "syntax error"


def _harmless(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("'<") else "'…'"


def _hint(exc: yaml.MarkedYAMLError) -> str:
    if "\\t" in (exc.problem or ""):
        return "indent with spaces, not tabs"
    if "single document" in (exc.context or ""):
        return "give the documents as files of their own: -c first.yaml -c second.yaml"
    return "text with : or # or { in it needs quotes"


def _code_point(exc: yaml.reader.ReaderError) -> int:
    return exc.character if isinstance(exc.character, int) else ord(exc.character[:1] or "\0")
