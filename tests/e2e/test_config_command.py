"""`cdc config` as a process: what it prints, its exit codes, and that no secret ever comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from cdc_cli.demo.servers import EmbeddedKafka, EmbeddedMongo, EmbeddedValkey

ROOT = Path(__file__).parents[2]
BAD = """\
mongodb:
  uri: mongodb://user:canary-secret@localhost
  databse: game
kafka:
  bootstrap_servers: ["localhost:9092"]
  client: confluentt
postgres:
  dsn: ${POSTGRES_DSN}
  pool: {min: 60, max: 50}
syncer:
  workers: no
  workers: 5
"""
GOOD = """\
name: game
mongodb: {uri: "mongodb://user:canary-secret@mongo.example/?replicaSet=rs0", database: game}
kafka: {bootstrap_servers: ["kafka.example:9092"]}
postgres: {dsn: "${POSTGRES_DSN}"}
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cdc(tmp_path: Path) -> Run:
    """Runs `cdc config ...` in an empty folder, with no variables but those given."""

    def run(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        command = [sys.executable, "-m", "cdc_cli", "config", *args]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def write(folder: Path, text: str, name: str = "cdc.yaml") -> str:
    (folder / name).write_text(text)
    (folder / name).chmod(0o600)
    return name


@pytest.mark.requirement("R11.4", "R11.5")
def test_validate_lists_every_mistake_with_its_place_and_exits_78(cdc: Run, tmp_path: Path) -> None:
    done = cdc("validate", write(tmp_path, BAD, "bad.yaml"))
    lines = done.stdout.splitlines()
    assert done.returncode == 78
    assert [line.split()[0] for line in lines[:-1]] == [
        "bad.yaml:3:3",
        "bad.yaml:6:11",
        "bad.yaml:8:8",
        "bad.yaml:9:15",
        "bad.yaml:11:12",
        "bad.yaml:12:3",
    ]
    assert 'did you mean "database"?' in lines[0]
    assert "warning[config.unset_variable]" in lines[2]
    assert lines[-1] == "5 errors, 1 warning in bad.yaml (offline; add --connect to test servers)"
    assert "canary" not in done.stdout + done.stderr


def test_validate_in_json_has_the_envelope_and_github_has_annotations(cdc: Run, tmp_path: Path) -> None:
    write(tmp_path, BAD, "bad.yaml")
    done = cdc("validate", "bad.yaml", "-o", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["command"], answer["schema"]) == (78, "config.validate", 1)
    assert (answer["ok"], answer["error"]) == (False, None)
    assert answer["summary"]["errors"] == 5
    first = answer["result"]["findings"][0]
    assert (first["file"], first["line"], first["column"], first["config_path"]) == (
        "bad.yaml",
        3,
        3,
        "mongodb.databse",
    )
    done = cdc("validate", "bad.yaml", "-o", "github")
    assert done.returncode == 78
    assert done.stdout.startswith(
        "::error file=bad.yaml,line=3,col=3,title=config.unknown_key::mongodb.databse: "
    )


def test_validate_needs_no_secret_and_strict_makes_the_warning_fail(cdc: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    done = cdc("validate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("OK: 0 errors, 1 warning in cdc.yaml")
    assert cdc("validate", "--strict").returncode == 78
    assert cdc("validate", "--strict", POSTGRES_DSN="host=h").returncode == 0


def test_connect_does_need_the_secrets_and_asks_no_server_without_them(cdc: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    done = cdc("validate", "--connect")
    assert done.returncode == 78
    assert "error[config.unset_variable]" in done.stdout
    assert "(no server was asked)" in done.stdout


@pytest.mark.requirement("R11.1", "R11.2")
def test_show_prints_what_works_and_where_it_comes_from_without_secrets(cdc: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, "syncer: {workers: 4}", "more.yaml")
    args = ("show", "-c", "cdc.yaml", "-c", "more.yaml", "--set", "http.enabled=false", "--origin")
    variables = {"POSTGRES_DSN": "host=pg.example password=canary-secret", "CDC_LOGGING__LEVEL": "debug"}
    done = cdc(*args, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "canary" not in done.stdout
    shown = yaml.safe_load(done.stdout)
    assert shown["postgres"]["dsn"] == "host=pg.example password=********"
    assert shown["mongodb"]["uri"] == "mongodb://********@mongo.example/?replicaSet=rs0"
    answer = json.loads(cdc(*args, "-o", "json", **variables).stdout)
    assert answer["result"]["config"] == shown
    origins: dict[str, Any] = answer["result"]["origins"]
    assert (origins["syncer.workers"], origins["http.enabled"]) == ("more.yaml:1", "--set http.enabled")
    assert (origins["logging.level"], origins["retry.jitter"]) == ("env CDC_LOGGING__LEVEL", "default")


def test_show_of_a_broken_configuration_fails_like_a_start(cdc: Run, tmp_path: Path) -> None:
    write(tmp_path, BAD)
    done = cdc("show", "-o", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["error"]["code"]) == (78, False, "config.unknown_key")
    assert "cdc.yaml:9:15  error[config.conflict]  postgres.pool.min" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_the_configuration_file_can_be_named_by_a_variable(cdc: Run, tmp_path: Path) -> None:
    write(tmp_path, GOOD, "other.yaml")
    assert "in other.yaml (" in cdc("validate", CDC_CONFIG="other.yaml").stdout


def test_the_schema_is_one_json_document_with_every_section(cdc: Run) -> None:
    schema = json.loads(cdc("schema").stdout)
    assert schema["title"] == "cdc.yaml"
    assert {"mongodb", "kafka", "postgres", "syncer", "retry"} <= set(schema["properties"])


def pipeline(mongo: str, kafka: str, postgres: str, redis: str, unique: str) -> str:
    return f"""\
name: {unique}
mongodb: {{uri: "{mongo}", database: {unique}}}
kafka: {{bootstrap_servers: ["{kafka}"]}}
postgres: {{dsn: "{postgres}"}}
token_store: {{backend: redis, redis: {{url: "{redis}"}}}}
"""


def test_connect_tells_in_a_line_each_that_every_server_is_fit(
    cdc: Run,
    tmp_path: Path,
    mongo: EmbeddedMongo,
    tansu: EmbeddedKafka,
    postgres_dsn: str,
    valkey: EmbeddedValkey,
    unique: str,
) -> None:
    write(tmp_path, pipeline(mongo.uri, tansu.bootstrap, postgres_dsn, valkey.url, unique))
    done = cdc("validate", "--connect", "--timeout", "30s")
    assert done.returncode == 0, done.stdout + done.stderr
    fit = [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("[OK]")]
    assert fit == ["[OK] MongoDB", "[OK] Kafka", "[OK] PostgreSQL", "[OK] Redis"]
    assert "(4 of 4 servers are fit)" in done.stdout


def test_connect_tells_of_each_server_why_it_is_not_fit_and_what_to_do(
    cdc: Run, tmp_path: Path, postgres_dsn: str, unique: str
) -> None:
    nobody = "127.0.0.1:1"
    wrong = postgres_dsn.replace(unique, f"no_{unique}")
    write(
        tmp_path,
        pipeline(
            f"mongodb://u:canary-secret@{nobody}", nobody, wrong, f"redis://:canary-secret@{nobody}", unique
        ),
    )
    done = cdc("validate", "--connect", "--timeout", "4s", "-o", "json")
    servers = {server["server"]: server for server in json.loads(done.stdout)["result"]["servers"]}
    assert done.returncode == 78  # a database that does not exist goes before servers that do not answer
    assert "does not exist" in servers["PostgreSQL"]["message"]
    assert servers["Kafka"]["message"].startswith("connecting to Kafka: ")
    assert done.stderr == "", "the drivers' own complaints would hide the four sentences"
    assert all(not server["ok"] and server["suggestion"] for server in servers.values())
    assert "canary" not in done.stdout + done.stderr
