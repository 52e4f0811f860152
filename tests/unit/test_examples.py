"""The examples fit the program and themselves: configurations, compose file, units, manifests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cdc_cli.cli.app import make_app
from cdc_cli.cli.config_check import Report, check
from cdc_cli.clock import SystemClock
from cdc_cli.errors import ExitCode
from cdc_cli.observe.health import Health
from cdc_cli.observe.http import Pages, answer, parse_bind
from cdc_cli.settings.keys import environment_names
from cdc_cli.settings.load import load
from cdc_cli.settings.models import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIGURATIONS = sorted(EXAMPLES.rglob("cdc.yaml"))
_CLOSING = 5
"""Seconds that a service may take beyond its shutdown_timeout."""


def offline(file: Path, environment: Mapping[str, str] | None = None) -> Report:
    """As `cdc config validate FILE`."""
    return check([file], environment or {}, [], strict=False, connect_within=None)


def settings_of(file: Path) -> Settings:
    return load([file], {}, offline=True).settings


def commands() -> set[str]:
    return set(typer.main.get_command(make_app()).commands)  # type: ignore[attr-defined]


def warnings_but_unknown_secrets(report: Report) -> list[str]:
    expected = {"config.unset_variable", "config.secret_file"}
    return [finding.text for finding in report.findings if finding.code not in expected]


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.parent.name)
def test_the_configuration_of_an_example_is_valid_offline(file: Path) -> None:
    report = offline(file)
    assert report.exit_code is ExitCode.OK, report.findings
    assert warnings_but_unknown_secrets(report) == []


def test_there_is_a_configuration_in_every_example() -> None:
    assert {file.parent.name for file in CONFIGURATIONS} == {"local", "compose", "systemd"}
    assert "cdc.yaml" in config_map()["data"]


def test_every_example_has_a_readme_and_is_in_the_index() -> None:
    index = (EXAMPLES / "README.md").read_text()
    for folder in (path for path in EXAMPLES.iterdir() if path.is_dir()):
        assert (folder / "README.md").is_file()
        assert f"({folder.name}/README.md)" in index


def compose() -> Any:
    return yaml.safe_load((EXAMPLES / "compose/compose.yaml").read_text())


def test_the_compose_file_is_complete_in_itself() -> None:
    file = compose()
    services, volumes = file["services"], set(file["volumes"])
    assert {"mongodb", "kafka", "postgres", "valkey", "watch", "sync"} == set(services)
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert all(d["condition"] == "service_healthy" for d in service.get("depends_on", {}).values()), name
        assert "healthcheck" in service, name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in volumes or (EXAMPLES / "compose" / source).is_file(), volume


def test_the_compose_services_are_commands_with_time_to_drain() -> None:
    settings = settings_of(EXAMPLES / "compose/cdc.yaml")
    longest = max(settings.watcher.shutdown_timeout, settings.syncer.shutdown_timeout)
    for name in ("watch", "sync"):
        service = compose()["services"][name]
        assert service["command"] == [name] and name in commands()
        assert int(service["stop_grace_period"].removesuffix("s")) >= longest + _CLOSING


def test_the_compose_configuration_names_the_compose_servers() -> None:
    settings, services = settings_of(EXAMPLES / "compose/cdc.yaml"), compose()["services"]
    hosts = re.findall(r"//(\w+):", settings.mongodb.uri.get_secret_value())
    hosts += [server.partition(":")[0] for server in settings.kafka.bootstrap_servers]
    hosts += re.findall(r"host=(\w+)", settings.postgres.dsn.get_secret_value())
    hosts += re.findall(r"//(\w+):", settings.token_store.redis.url.get_secret_value())
    assert hosts == ["mongodb", "kafka", "postgres", "valkey"]
    assert set(hosts) <= set(services)
    assert f":{parse_bind(settings.http.bind)[1]}/readyz" in str(services["watch"]["healthcheck"]["test"])
    assert f"--replSet, {'rs0'}" in ", ".join(services["mongodb"]["command"])
    assert "replicaSet=rs0" in settings.mongodb.uri.get_secret_value()


def test_the_variables_of_the_compose_example_are_in_its_env_file() -> None:
    folder = EXAMPLES / "compose"
    given = set(re.findall(r"^(\w+)=", (folder / ".env.example").read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\{(\w+)", (folder / "compose.yaml").read_text() + (folder / "cdc.yaml").read_text()))
    assert used == given
    passed = compose()["services"]["watch"]["environment"]
    assert set(re.findall(r"\$\{(\w+)", (folder / "cdc.yaml").read_text())) <= set(passed)
    report = offline(folder / "cdc.yaml", dict.fromkeys(given, "secret"))
    assert report.findings == ()


def test_the_dockerfile_copies_what_there_is_and_its_ignore_file_lets_it_through() -> None:
    folder, root = EXAMPLES / "compose", EXAMPLES.parent
    copied = [
        name
        for line in (folder / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
        for name in line.split()[1:-1]
    ]
    assert copied and all((root / name).exists() for name in copied)
    ignored = (folder / "Dockerfile.dockerignore").read_text().splitlines()
    assert [name for name in copied if f"!{name}" not in ignored] == []
    build = compose()["services"]["watch"]["build"]
    assert (folder / build["context"]).resolve() == root
    assert (root / build["dockerfile"]).is_file()


def unit(name: str) -> dict[str, list[str]]:
    """Every directive with its values; sections and comments left out."""
    found: dict[str, list[str]] = {}
    for line in (EXAMPLES / "systemd" / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("command", ["watch", "sync"])
def test_a_systemd_unit_runs_a_command_and_lets_it_drain(command: str) -> None:
    directives = unit({"watch": "cdc-watch.service", "sync": "cdc-sync@.service"}[command])
    settings = settings_of(EXAMPLES / "systemd/cdc.yaml")
    assert directives["ExecStart"] == [f"/opt/cdc/bin/cdc {command}"] and command in commands()
    longest = max(settings.watcher.shutdown_timeout, settings.syncer.shutdown_timeout)
    assert int(directives["TimeoutStopSec"][0]) >= longest + _CLOSING
    codes = {int(code) for code in directives["RestartPreventExitStatus"][0].split()}
    lasting = {ExitCode.USAGE, ExitCode.DENIED, ExitCode.CONFIG, ExitCode.POSITION_LOST, ExitCode.BAD_DATA}
    assert codes == set(map(int, lasting))
    variables = {part.partition("=")[0] for line in directives["Environment"] for part in line.split()}
    assert variables <= {*environment_names(), "CDC_CONFIG"}


def test_the_systemd_services_do_not_share_a_port() -> None:
    binds = [re.findall(r"CDC_HTTP__BIND=(\S+)", *unit(name)["Environment"]) for name in
             ("cdc-watch.service", "cdc-sync@.service")]  # fmt: skip
    ports = {parse_bind(bind[0].replace("%i", str(instance)))[1] for bind in binds for instance in (1, 2)}
    assert len(ports) == 3


def manifest(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / "kubernetes" / name).read_text())


def config_map() -> Any:
    return manifest("config.yaml")


@pytest.fixture
def kubernetes_settings(tmp_path: Path) -> Settings:
    file = tmp_path / "cdc.yaml"
    file.write_text(config_map()["data"]["cdc.yaml"])
    report = offline(file)
    assert report.exit_code is ExitCode.OK, report.findings
    public = "everybody who reaches this address"
    assert [text for text in warnings_but_unknown_secrets(report) if public not in text] == []
    return settings_of(file)


@pytest.mark.parametrize("command", ["watch", "sync"])
def test_a_deployment_fits_the_program(command: str, kubernetes_settings: Settings) -> None:
    spec = manifest(f"{command}.yaml")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert container["args"] == [command] and command in commands()
    settings = kubernetes_settings
    longest = max(settings.watcher.shutdown_timeout, settings.syncer.shutdown_timeout)
    assert pod["terminationGracePeriodSeconds"] >= longest + _CLOSING
    port = parse_bind(settings.http.bind)[1]
    assert settings.http.enabled and container["ports"] == [{"name": "http", "containerPort": port}]
    pages = Pages(Health(SystemClock()), lambda: "", dict)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        request = container[probe]["httpGet"]
        assert request["port"] == "http"
        assert answer(pages, request["path"], False).code != 404
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_there_is_one_watcher_and_no_more_syncers_than_partitions(kubernetes_settings: Settings) -> None:
    watch, sync = manifest("watch.yaml")["spec"], manifest("sync.yaml")["spec"]
    assert (watch["replicas"], watch["strategy"]["type"]) == (1, "Recreate")
    assert 1 < sync["replicas"] <= kubernetes_settings.kafka.create_topics.partitions


def test_the_secret_has_the_files_that_the_configuration_reads() -> None:
    named = re.findall(r"/run/secrets/cdc/([\w-]+)", config_map()["data"]["cdc.yaml"])
    assert set(named) == set(manifest("secret.example.yaml")["stringData"])
    mounts = manifest("watch.yaml")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "secrets", "mountPath": "/run/secrets/cdc", "readOnly": True} in mounts


def test_the_pods_run_as_the_user_of_the_image() -> None:
    dockerfile = (EXAMPLES / "compose/Dockerfile").read_text()
    for name in ("watch.yaml", "sync.yaml"):
        context = manifest(name)["spec"]["template"]["spec"]["securityContext"]
        assert f"--uid {context['runAsUser']}" in dockerfile
        assert context["fsGroup"] == context["runAsGroup"]
