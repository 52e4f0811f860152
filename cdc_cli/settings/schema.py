"""The JSON Schema of cdc.yaml for editors: what may stand where, with descriptions, defaults and units.

Nothing is required in it, because any key may come from the environment or from another file; what is missing
in the end is for `cdc config validate` to say.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from cdc_cli.settings import models
from cdc_cli.settings.keys import Key, keys, sections, twins
from cdc_cli.settings.units import format_duration, format_size

_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}


def json_schema() -> dict[str, Any]:
    """The schema of the whole file (JSON Schema 2020-12)."""
    schema = models.Settings.model_json_schema(by_alias=True)
    definitions = {"Settings": schema, **schema["$defs"]}
    docs = descriptions()
    for path, model in sections().items():
        definition = definitions[model.__name__]
        definition.pop("required", None)
        properties: dict[str, Any] = definition["properties"]
        for name, entry in properties.items():
            child = f"{path}.{name}" if path else name
            properties[name] = _property(entry, keys().get(child), docs.get(child, ""))
        for twin in (t for t in twins() if t.rpartition(".")[0] == path):
            properties[twin.rpartition(".")[2]] = _twin(twin)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "cdc.yaml"
    return schema


def descriptions() -> Mapping[str, str]:
    """The docstring under each key of the models, by dotted path.

    Read from the source when they are asked for: pydantic would collect them at every start of every command.
    """
    tree = ast.parse(inspect.getsource(models))
    classes = {node.name: _docstrings(node) for node in tree.body if isinstance(node, ast.ClassDef)}
    found: dict[str, str] = {}
    for path, model in sections().items():
        for name, field in model.model_fields.items():
            written = field.alias or name
            found[f"{path}.{written}" if path else written] = classes[model.__name__].get(name, "")
    return found


def written_default(key: Key) -> Any:
    """The default as it stands in cdc.yaml: `7d`, `20MiB`; secrets that have one are harmless."""
    value = key.default
    if key.kind == "duration":
        return format_duration(value)
    if key.kind == "size":
        return format_size(value)
    return value.get_secret_value() if key.kind == "secret" and value is not None else value


def _docstrings(node: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, doc in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = ast.literal_eval(doc.value) if isinstance(doc, ast.Expr) else ""
            found[field.target.id] = inspect.cleandoc(text)
    return found


def _property(entry: dict[str, Any], key: Key | None, description: str) -> dict[str, Any]:
    if key is None:
        return {"$ref": entry["$ref"]}
    extra = {"description": description}
    if not key.field.is_required():
        extra["default"] = written_default(key)
    entry = {name: value for name, value in entry.items() if name not in ("title", "default", "description")}
    if key.kind in ("text", "secret") and not key.choices:
        return {**extra, **entry}
    zero = [{"const": 0}] if key.kind in ("duration", "size") else []
    return {**extra, "anyOf": [entry, *zero, _VARIABLE]}


def _twin(twin: str) -> dict[str, Any]:
    return {"type": "string", "description": f"The name of a file that holds {twins()[twin]}, instead of it."}
