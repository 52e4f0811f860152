"""A folder of its own for each test, and short ways to write and load a configuration there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from cdc_cli.settings.findings import Finding, InvalidConfig
from cdc_cli.settings.load import Loaded, load

MINIMAL = """\
mongodb: {uri: "mongodb://localhost/?replicaSet=rs0", database: game}
kafka: {bootstrap_servers: ["localhost:9092"]}
postgres: {dsn: "host=localhost dbname=game"}
"""


class Load(Protocol):
    """Loads texts as files, in this order; `base` puts the minimal configuration in front."""

    def __call__(
        self,
        *texts: str,
        env: Mapping[str, str] | None = None,
        sets: Sequence[str] = (),
        offline: bool = False,
        base: bool = True,
    ) -> Loaded: ...


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load_text(own_folder: Path) -> Load:
    def run(
        *texts: str,
        env: Mapping[str, str] | None = None,
        sets: Sequence[str] = (),
        offline: bool = False,
        base: bool = True,
    ) -> Loaded:
        files = []
        for number, text in enumerate([MINIMAL, *texts] if base else texts):
            file = own_folder / f"{number}.yaml"
            file.write_text(text, encoding="utf-8")
            file.chmod(0o600)
            files.append(Path(file.name))
        return load(files, env or {}, sets, offline=offline)

    return run


Findings = Callable[..., list[Finding]]


@pytest.fixture
def errors_of(load_text: Load) -> Findings:
    """The errors of a configuration that must not load."""

    def run(*texts: str, **options: object) -> list[Finding]:
        with pytest.raises(InvalidConfig) as caught:
            load_text(*texts, **options)  # type: ignore[arg-type]
        return [finding for finding in caught.value.findings if finding.severity == "error"]

    return run
