"""The tree of values against the models: pydantic's errors as findings with places, and never with values.

Pydantic runs in strict mode, because lax mode takes `true` for 1; text from the environment has been given
its type by `keys.py` before. The wording is ours: pydantic's own names its types, and may show the input.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cdc_cli.settings.findings import DEFAULT, Finding, Origin, closest, did_you_mean, one_of, printable
from cdc_cli.settings.keys import children, environment_name, keys, sections, twins
from cdc_cli.settings.models import Settings
from cdc_cli.settings.node import Node, Step, dotted, find, nearest, walk, without

Path = tuple[Step, ...]

_STAND_INS: dict[str, dict[str, Any]] = {
    "mongodb": {"uri": "mongodb://unknown"},
    "kafka": {"bootstrap_servers": ["unknown:9092"]},
    "postgres": {"dsn": "host=unknown"},
}
"""What the required keys are taken for while the others are checked."""

_EXPECTED = {
    "secret": "text is expected; put it in quotes",
    "text": "text is expected; put it in quotes",
    "integer": "a whole number is expected",
    "number": "a number is expected",
    "boolean": "true or false is expected",
    "list": "a list is expected, such as [a, b]",
    "mappings": "a list is expected",
    "duration": "a duration with a unit is expected, such as 500ms, 10s, 5m, 2h or 7d",
    "size": "a size with a unit is expected, such as 512KiB, 16MiB or 1GiB",
}


def validate(root: Node, findings: list[Finding]) -> tuple[Settings, frozenset[str]]:
    """The settings, and the dotted paths about which nothing is known.

    What is wrong is reported and then left out, so that everything else can still be checked, by the rules
    too: with an error among the findings the settings are good for nothing else.
    """
    unknown = {path for path, node in walk(root) if node.is_open}
    try:
        return Settings.model_validate(_data(root, ()), strict=True), _dotted(unknown)
    except ValidationError as exc:
        errors = exc.errors(include_input=False, include_url=False)
    wrong = {tuple(error["loc"]) for error in errors}
    unknown |= {_meant(tuple(error["loc"])) for error in errors if error["type"] == "extra_forbidden"} - {()}
    findings.extend(_finding(e, root) for e in errors if not _is_below(tuple(e["loc"]), unknown))
    for path in wrong:
        root = without(root, path)
    data = _data(root, ())
    for name, required in _STAND_INS.items():
        data[name] = {**required, **data.get(name, {})}
    return Settings.model_validate(data, strict=True), _dotted(unknown | wrong)


def _data(node: Node, path: Path) -> Any:
    """Plain data for pydantic: text typed by its key, and `{}` for a section without anything in it."""
    if dotted(path) in sections() and node.value is None:
        node = Node({}, node.origin, node.key)
    if isinstance(node.value, dict):
        data = {name: _data(child, (*path, name)) for name, child in node.value.items()}
        return data if path else {**{name: {} for name in _STAND_INS}, **data}
    if isinstance(node.value, list):
        return [_data(child, (*path, number)) for number, child in enumerate(node.value)]
    key = keys().get(dotted(path))
    return key.from_text(node.value) if node.is_text and key and isinstance(node.value, str) else node.value


def _finding(error: ErrorDetails, root: Node) -> Finding:
    path = tuple(error["loc"])
    kind = error["type"]
    if kind == "missing":
        return _missing(path, root)
    if kind == "extra_forbidden":
        return _unknown(path, root)
    name = dotted([step for step in path if isinstance(step, str)])
    node = nearest(root, path)
    if name == "mappings":
        message = "typed mappings are not available yet: each collection has a table with a jsonb document"
        return Finding("error", "config.not_available", name, message, "leave this out", node.origin)
    code = "config.invalid_value"
    return Finding("error", code, dotted(path), _reason(error, name), _near(node, name), node.origin)


def _missing(path: Path, root: Node) -> Finding:
    name = dotted(path)
    suggestion = f"give it in the file or as {environment_name(name)}"
    if f"{name}_file" in twins():
        suggestion += f", or the name of a file with it as {name}_file"
    message = "this is required and not given"
    return Finding("error", "config.missing", name, message, suggestion, _place(nearest(root, path[:-1])))


def _unknown(path: Path, root: Node) -> Finding:
    *parent, word = path
    name, node = printable(str(word)), find(root, path)
    known = children(dotted(parent))
    suggestion = did_you_mean(name, known)
    if "." in name and dotted((*parent, name)) in {*keys(), *sections()}:
        suggestion = "write the part before each dot as a section of its own"
    elif home := _elsewhere(word):
        suggestion = f"{suggestion.removesuffix('?')} or {home}?" if suggestion else f"did you mean {home}?"
    suggestion = suggestion or f"known here: {', '.join(known)}"
    where, origin = dotted((*parent, name)), node.key if node else DEFAULT
    return Finding("error", "config.unknown_key", where, "there is no such key", suggestion, origin)


def _elsewhere(word: Step) -> str:
    """The one other place that has this key; empty when there is none or more than one."""
    paths = [path for path in (*keys(), *twins()) if path.rpartition(".")[2] == word]
    return paths[0] if len(paths) == 1 else ""


def _meant(path: Path) -> Path:
    """The key that an unknown one is a misspelling of: it is not missing, and its value is not known."""
    *parent, word = path
    near = closest(str(word), children(dotted(parent)))
    return (*parent, near.removesuffix("_file")) if near else ()


def _reason(error: ErrorDetails, name: str) -> str:
    """What is expected, in the words of the file."""
    key, context = keys().get(name), error.get("ctx", {})
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    if name in sections():
        return "a section (keys and values) is expected"
    if key is None:
        return "this value is not possible"
    if limits := [f"{words} {context[limit]}" for limit, words in bounds.items() if limit in context]:
        return f"it must be {limits[0]}"
    if error["type"] in ("string_too_short", "too_short", "value_error.empty"):
        return "it must not be empty" + ("; null stands for all" if key.is_optional else "")
    if error["type"] == "string_pattern_mismatch":
        return "only letters, digits, dots, dashes and underscores are possible, at most 100"
    if key.choices:
        return f"{one_of(key.choices)} is expected"
    in_list = key.kind == "list" and len(error["loc"]) > name.count(".") + 1
    return _EXPECTED["text" if in_list else key.kind]


def _near(node: Node, name: str) -> str:
    """A legal word that resembles the wrong one: it shows nothing of the wrong one."""
    key = keys().get(name)
    return did_you_mean(node.value, key.choices) if key and isinstance(node.value, str) else ""


def _place(node: Node) -> Origin:
    return node.origin if node.key.kind == "default" else node.key


def _is_below(path: Path, tops: Collection[Path]) -> bool:
    return any(path[: len(top)] == top for top in tops)


def _dotted(paths: Collection[Sequence[Step]]) -> frozenset[str]:
    return frozenset(dotted(path) for path in paths)
