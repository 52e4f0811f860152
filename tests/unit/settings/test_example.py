"""cdc.yaml.example is the reference of every key: complete, true, and it loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cdc_cli.settings.keys import keys, twins
from cdc_cli.settings.load import load
from cdc_cli.settings.schema import written_default

EXAMPLE = Path(__file__).parents[3] / "cdc.yaml.example"

NOT_DEFAULTS = {
    "name": "game-prod",
    "mongodb.uri": "${MONGODB_URI:-mongodb://localhost:27017/?replicaSet=rs0}",
    "mongodb.database": "game",
    "mongodb.collections": ["players", "inventories", "match_*"],
    "kafka.bootstrap_servers": ["localhost:9092"],
    "postgres.dsn": "${POSTGRES_DSN:-postgresql://localhost:5432/game}",
}
"""What the example shows instead of the default: required keys, and the names of a demonstration."""


def flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return found


@pytest.mark.requirement("R11.1", "R11.3")
def test_the_example_loads_without_a_warning_and_without_any_variable(tmp_path: Path) -> None:
    loaded = load([EXAMPLE], {})
    assert loaded.warnings == ()
    assert loaded.settings.mongodb.database == "game"


def test_the_example_has_every_key_in_the_order_of_the_models_and_no_other() -> None:
    assert list(flat(yaml.safe_load(EXAMPLE.read_text()))) == list(keys())


def test_every_value_in_the_example_is_the_default_or_listed_here() -> None:
    written = flat(yaml.safe_load(EXAMPLE.read_text()))
    expected = {path: NOT_DEFAULTS.get(path, written_default(key)) for path, key in keys().items()}
    assert written == expected


def test_every_key_in_the_example_has_its_explanation() -> None:
    lines = EXAMPLE.read_text().splitlines()
    bare = [line.strip() for line in lines if ":" in line and "#" not in line]
    explained_above = {
        "events:",
        "size:",
        "pool:",
        "batch:",
        "security:",
        "kafka:",
        "redis:",
        "file:",
        "enabled:",
        "dead_letter:",
        "alerts:",
        "bind:",
    }
    assert [line for line in bare if line.partition(" ")[0] not in explained_above] == []


def test_the_example_shows_every_twin() -> None:
    text = EXAMPLE.read_text()
    assert [twin for twin in twins() if f"# {twin.rpartition('.')[2]}:" not in text] == []


def test_no_line_of_the_example_is_longer_than_a_screen() -> None:
    assert max(map(len, EXAMPLE.read_text().splitlines())) <= 120
