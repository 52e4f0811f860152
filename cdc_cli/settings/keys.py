"""Every key of the models as data: dotted path, kind, name in the environment. Text becomes a value here.

The environment and options only have text, so the key decides what it means: `8` is a number for
`syncer.workers` and a name for `mongodb.database`.
"""

from __future__ import annotations

import functools
import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from cdc_cli.settings.models import Settings
from cdc_cli.settings.secrets import SECRET_KEYS
from cdc_cli.settings.units import parse_duration, parse_size

Kind = Literal["text", "secret", "integer", "number", "boolean", "duration", "size", "list", "mappings"]

_INTEGER = re.compile(r"[-+]?[0-9]{1,25}$")
_NUMBER = re.compile(r"[-+]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})$")
_BOOLEANS = (
    dict.fromkeys(("true", "1", "yes", "on"), True)
    | dict.fromkeys(("false", "0", "no", "off"), False)
)


@dataclass(frozen=True, slots=True)
class Key:
    """A leaf of the models. `choices` are the legal words, empty when there is no such list."""

    path: str
    kind: Kind
    is_optional: bool
    choices: tuple[str, ...]
    field: FieldInfo

    @property
    def default(self) -> Any:
        """The default as the models hold it; None for a required key."""
        return None if self.field.is_required() else self.field.default

    def from_text(self, text: str) -> Any:
        """What the text means for this key; text that cannot be it is returned as it is, to be refused."""
        if self.is_optional and text in ("", "null"):
            return None
        if self.kind == "boolean":
            return _BOOLEANS.get(text.strip().lower(), text)
        if self.kind == "integer" and _INTEGER.match(text.strip()):
            return int(text)
        if self.kind == "number" and _NUMBER.match(text.strip()):
            return float(text)
        if self.kind in ("duration", "size") and text.strip() == "0":
            return 0
        return _list_from(text) if self.kind in ("list", "mappings") else text


@functools.cache
def keys() -> Mapping[str, Key]:
    """All leaves by path, in the order of the models."""
    return {key.path: key for key in _keys(Settings, "")}


@functools.cache
def sections() -> Mapping[str, type[BaseModel]]:
    """All sections by path, "" is the root."""
    return dict(_sections(Settings, ""))


@functools.cache
def twins() -> Mapping[str, str]:
    """`postgres.dsn_file` -> `postgres.dsn`, for every secret."""
    return {f"{path}_file": path for path in SECRET_KEYS}


@functools.cache
def environment_names() -> Mapping[str, str]:
    """`CDC_SYNCER__WORKERS` -> `syncer.workers`, for every key and twin but `version`."""
    paths = [path for path in (*keys(), *twins()) if path != "version"]
    return {environment_name(path): path for path in paths}


def environment_name(path: str) -> str:
    """The variable that sets the key at this dotted path."""
    return "CDC_" + path.upper().replace(".", "__")


def children(path: str) -> list[str]:
    """The names that may stand in the section at this path."""
    prefix = f"{path}." if path else ""
    below = [name[len(prefix) :] for name in (*keys(), *twins()) if name.startswith(prefix)]
    return list(dict.fromkeys(name.partition(".")[0] for name in below))


def _sections(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in _fields(model, path):
        if _is_section(field.annotation):
            yield from _sections(field.annotation, name)


def _keys(model: type[BaseModel], path: str) -> Iterator[Key]:
    for name, field in _fields(model, path):
        if _is_section(field.annotation):
            yield from _keys(field.annotation, name)
        else:
            bare, is_optional = _bare(field.annotation)
            yield Key(name, _kind(bare, field), is_optional, _choices(bare), field)


def _fields(model: type[BaseModel], path: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        written = field.alias or name
        yield (f"{path}.{written}" if path else written), field


def _is_section(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _bare(annotation: Any) -> tuple[Any, bool]:
    """The type without `| None` and `Annotated`, and whether None is allowed."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        others = [arg for arg in get_args(annotation) if arg is not type(None)]
        return others[0], True
    return annotation, False


def _kind(annotation: Any, field: FieldInfo) -> Kind:
    parsers = [item.func for item in field.metadata if isinstance(item, BeforeValidator)]
    if parse_duration in parsers:
        return "duration"
    if parse_size in parsers:
        return "size"
    if get_origin(annotation) is list:
        return "mappings" if get_origin(get_args(annotation)[0]) is dict else "list"
    simple: dict[Any, Kind] = {SecretStr: "secret", bool: "boolean", int: "integer", float: "number"}
    if get_origin(annotation) is Literal:
        return "integer" if isinstance(get_args(annotation)[0], int) else "text"
    return simple.get(annotation, "text")


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is list:
        return _choices(get_args(annotation)[0])
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


def _list_from(text: str) -> Any:
    """A JSON array, or words between commas."""
    if not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text
