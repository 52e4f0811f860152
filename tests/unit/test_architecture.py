"""The rooms stay apart: contracts know no implementation, and only the wiring knows the drivers' modules."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cdc_cli"
STAGES = ("apply", "brokers", "capture", "checkpoint", "consume", "publish")
DRIVERS = {"pymongo", "kafka", "confluent_kafka", "psycopg2", "redis"}
MAKERS = {"wiring.py", "wiring_replay.py", "wiring_watch.py", "wiring_sync.py"}


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Modules that a file imports; `everywhere` = also inside functions."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def uses_driver(path: Path) -> bool:
    return bool({name.split(".")[0] for name in imports(path, everywhere=False)} & DRIVERS)


@pytest.mark.requirement("R13.1", "R13.2")
@pytest.mark.parametrize("stage", STAGES)
def test_the_contract_of_a_stage_is_a_protocol_and_imports_no_driver(stage: str) -> None:
    contract = PACKAGE / stage / "__init__.py"
    tree = ast.parse(contract.read_text())
    bases = [ast.unparse(base) for node in tree.body if isinstance(node, ast.ClassDef) for base in node.bases]
    assert "Protocol" in bases
    assert ast.get_docstring(tree)
    assert not uses_driver(contract)


@pytest.mark.requirement("R13.3", "R13.4")
def test_the_workers_know_contracts_and_no_driver() -> None:
    drivers = {
        f"cdc_cli.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
        for stage in STAGES
        for path in (PACKAGE / stage).glob("*.py")
        if uses_driver(path)
    }
    assert len(drivers) > 10
    for path in (PACKAGE / "workers").glob("*.py"):
        assert not uses_driver(path), path
        assert not imports(path) & drivers, path


@pytest.mark.requirement("R13.3")
def test_the_services_are_put_together_in_the_wiring_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name in MAKERS or "demo" in path.parts:
            continue
        made = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not made & {"Watcher", "Syncer", "MongoCapture", "PostgresApplier", "WatchService", "SyncService"}, path


@pytest.mark.requirement("R13.5")
def test_typing_is_strict_for_the_whole_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"] is True
    assert settings["packages"] == ["cdc_cli"]
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.returns is not None, f"{path}:{node.lineno} {node.name} has no return type"


def test_no_file_is_longer_than_350_lines() -> None:
    long = {str(path): n for path in PACKAGE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 350}
    assert long == {}


def test_only_the_clock_asks_for_the_time_and_nothing_sleeps() -> None:
    """Waits are waits on the stop event; drivers' adapters may look at the monotonic clock for their own pace."""
    for path in PACKAGE.rglob("*.py"):
        if "demo" in path.parts or path.name == "clock.py" or "time" not in imports(path):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
                assert node.attr not in {"time", "sleep"}, f"{path}:{node.lineno}"
