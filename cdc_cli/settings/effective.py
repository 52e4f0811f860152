"""The configuration as it works, for people and machines: every key, secrets masked, each value's origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from cdc_cli.settings.keys import keys
from cdc_cli.settings.load import Loaded
from cdc_cli.settings.secrets import mask_secret
from cdc_cli.settings.units import format_duration, format_size

_WIDTH = 10_000


def values(loaded: Loaded) -> dict[str, Any]:
    """Every key by dotted path, as it would stand in cdc.yaml; None for what is not known here."""
    return {path: _value(loaded, path) for path in keys()}


def as_tree(flat: dict[str, Any]) -> dict[str, Any]:
    """Dotted paths to nested sections."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        section = tree
        *parents, name = path.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = value
    return tree


def as_yaml(loaded: Loaded, *, with_origin: bool) -> str:
    """A YAML document with the keys in the order of cdc.yaml.example; the origins are comments."""
    lines = list(_lines(loaded, as_tree(values(loaded))))
    width = max(len(line) for line, _ in lines if len(line) <= 60)
    if not with_origin:
        return "\n".join(line for line, _ in lines)
    return "\n".join(f"{line:<{width}}  # {origin}" if origin else line for line, origin in lines)


def _lines(loaded: Loaded, tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(line, origin or nothing)."""
    for name, value in tree.items():
        names = (*above, name)
        path, indent = ".".join(names), "  " * len(above)
        if isinstance(value, dict):
            yield f"{indent}{name}:", ""
            yield from _lines(loaded, value, names)
        else:
            origin = "not known here" if path in _unknown(loaded) else loaded.origins[path].text
            yield f"{indent}{name}: {_scalar(value)}", origin


def _value(loaded: Loaded, path: str) -> Any:
    if path in _unknown(loaded):
        return None
    if path == "kafka.consumer.group_id":
        return loaded.settings.group_id
    value: Any = loaded.settings
    for name in path.split("."):
        value = _attribute(value, name)
    kind = keys()[path].kind
    if isinstance(value, SecretStr):
        return mask_secret(path, value.get_secret_value())
    if kind == "duration":
        return format_duration(value)
    return format_size(value) if kind == "size" else value


def _attribute(section: BaseModel, name: str) -> Any:
    fields = type(section).model_fields
    return getattr(section, next(field for field, info in fields.items() if name in (field, info.alias)))


def _unknown(loaded: Loaded) -> set[str]:
    return {path.partition("[")[0] for path in loaded.unknown}


def _scalar(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=_WIDTH, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
