"""Which source wins, where each value came from, and how every mistake is reported with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_cli.errors import ExitCode
from cdc_cli.settings.findings import InvalidConfig
from cdc_cli.settings.load import default_files, find_files, load
from tests.unit.settings.conftest import MINIMAL, Findings, Load

FIVE_MISTAKES = """\
mongodb:
  uri: mongodb://localhost
  databse: game
kafka:
  bootstrap_servers: ["localhost:9092"]
  client: confluentt
postgres:
  dsn: host=localhost
  pool: {min: 60, max: 50}
syncer:
  workers: 0
  batch: {max_wait: 500}
"""


@pytest.mark.requirement("R11.1", "R11.2")
def test_a_flag_wins_over_the_environment_over_a_later_file_over_an_earlier_file_over_the_default(
    load_text: Load,
) -> None:
    loaded = load_text(
        "syncer: {workers: 2, batch: {max_rows: 2, max_wait: 2s, copy_threshold: 2}}",
        "syncer: {workers: 3, batch: {max_rows: 3, max_wait: 3s}}",
        env={"CDC_SYNCER__WORKERS": "4", "CDC_SYNCER__BATCH__MAX_ROWS": "4"},
        sets=["syncer.workers=5"],
    )
    syncer = loaded.settings.syncer
    assert (syncer.workers, syncer.batch.max_rows, syncer.batch.max_wait) == (5, 4, 3.0)
    assert (syncer.batch.copy_threshold, syncer.on_delete) == (2, "delete")
    assert loaded.origins["syncer.workers"].text == "--set syncer.workers"
    assert loaded.origins["syncer.batch.max_rows"].text == "env CDC_SYNCER__BATCH__MAX_ROWS"
    assert loaded.origins["syncer.batch.max_wait"].text == "2.yaml:1"
    assert loaded.origins["syncer.batch.copy_threshold"].text == "1.yaml:1"
    assert loaded.origins["syncer.on_delete"].text == "default"
    assert loaded.files == (Path("0.yaml"), Path("1.yaml"), Path("2.yaml"))


@pytest.mark.requirement("R11.1")
def test_the_environment_alone_is_enough(own_folder: Path) -> None:
    environment = {
        "CDC_MONGODB__URI": "mongodb://localhost",
        "CDC_MONGODB__DATABASE": "123",
        "CDC_KAFKA__BOOTSTRAP_SERVERS": "a:9092, b:9092",
        "CDC_POSTGRES__DSN": "host=localhost",
        "CDC_MONGODB__OPERATIONS": '["insert", "update", "replace", "delete"]',
        "CDC_KAFKA__SECURITY__CHECK_HOSTNAME": "no",
        "CDC_RETRY__JITTER": "0",
        "CDC_KAFKA__PRODUCER__LINGER": "0",
        "CDC_NAME": "prod",
        "CDC_ALERTS__WEBHOOK": "",
    }
    loaded = load([], {**environment, "HOME": str(own_folder)})
    assert loaded.settings.kafka.bootstrap_servers == ["a:9092", "b:9092"]
    assert loaded.settings.mongodb.database == "123"
    assert loaded.settings.kafka.security.check_hostname is False
    assert (loaded.settings.retry.jitter, loaded.settings.kafka.producer.linger) == (0.0, 0.0)
    assert loaded.settings.alerts.webhook is None
    assert loaded.settings.group_id == "cdc-sync-prod"
    assert loaded.files == ()


@pytest.mark.requirement("R11.5")
def test_five_mistakes_are_five_places(errors_of: Findings) -> None:
    found = errors_of(FIVE_MISTAKES, base=False)
    assert [(finding.place, finding.code, finding.path) for finding in found] == [
        ("0.yaml:3:3", "config.unknown_key", "mongodb.databse"),
        ("0.yaml:6:11", "config.invalid_value", "kafka.client"),
        ("0.yaml:9:15", "config.conflict", "postgres.pool.min"),
        ("0.yaml:11:12", "config.invalid_value", "syncer.workers"),
        ("0.yaml:12:21", "config.invalid_value", "syncer.batch.max_wait"),
    ]
    assert found[0].suggestion == 'did you mean "database"?'
    assert found[1].suggestion == 'did you mean "confluent"?'
    assert found[3].message == "it must be at least 1"


@pytest.mark.requirement("R11.4")
def test_missing_required_values_are_errors_that_tell_how_to_give_them(errors_of: Findings) -> None:
    found = errors_of("name: x\nkafka:\n  client: auto\n", base=False)
    assert {(f.place, f.code, f.path) for f in found} == {
        ("0.yaml:1:1", "config.missing", "mongodb.uri"),
        ("0.yaml:2:1", "config.missing", "kafka.bootstrap_servers"),
        ("0.yaml:1:1", "config.missing", "postgres.dsn"),
    }
    assert "CDC_MONGODB__URI" in found[0].suggestion or "CDC_MONGODB__URI" in found[1].suggestion
    assert InvalidConfig(found).exit_code is ExitCode.CONFIG


def test_a_misspelt_required_key_is_one_mistake_not_two(errors_of: Findings) -> None:
    text = "mongodb: {url: 'mongodb://h'}\nkafka: {bootstrap_server: [a:1]}\npostgres: {dsn: host=h}\n"
    assert [f.path for f in errors_of(text, base=False)] == ["mongodb.url", "kafka.bootstrap_server"]


def test_an_empty_section_means_its_defaults(load_text: Load) -> None:
    assert load_text("alerts:\nretry:\nkafka:\n  security:\n").settings.retry.max_attempts == 100


def test_a_scalar_where_a_section_belongs_is_told_so(errors_of: Findings) -> None:
    (found,) = errors_of("postgres: {pool: 50}")
    assert (found.path, found.message) == ("postgres.pool", "a section (keys and values) is expected")


def test_without_any_configuration_the_error_names_the_places_that_were_searched(own_folder: Path) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load([], {"XDG_CONFIG_HOME": "/nowhere", "PATH": "/bin"})
    assert caught.value.code == "config.no_file"
    assert "cdc.yaml, /nowhere/cdc/cdc.yaml, /etc/cdc/cdc.yaml" in caught.value.message


def test_the_first_default_file_that_exists_is_taken(own_folder: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(own_folder / "xdg")}
    assert find_files(environment) == []
    user = default_files(environment)[1]
    user.parent.mkdir(parents=True)
    user.write_text(MINIMAL)
    assert find_files(environment) == [user]
    (own_folder / "cdc.yaml").write_text(MINIMAL)
    assert find_files(environment) == [Path("cdc.yaml")]
    assert find_files({**environment, "CDC_CONFIG": "a.yaml:b.yaml"}) == [Path("a.yaml"), Path("b.yaml")]


def test_a_named_file_that_is_not_there_is_an_error(own_folder: Path) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(["missing.yaml"], {})
    codes = {finding.code: finding.place for finding in caught.value.findings}
    assert codes["config.unreadable_file"] == "missing.yaml"


def test_values_are_not_taken_for_what_they_resemble(errors_of: Findings) -> None:
    found = errors_of('syncer: {workers: true, batch: {max_rows: "5"}}\nname: 5\nretry: {jitter: no way}\n')
    assert {f.path: f.message for f in found} == {
        "syncer.workers": "a whole number is expected",
        "syncer.batch.max_rows": "a whole number is expected",
        "name": "text is expected; put it in quotes",
        "retry.jitter": "a number is expected",
    }


def test_a_list_names_the_element_that_is_wrong(errors_of: Findings) -> None:
    (found,) = errors_of("mongodb:\n  operations:\n    - insert\n    - updte\n")
    assert (found.path, found.place) == ("mongodb.operations[1]", "1.yaml:4:7")
    assert found.suggestion == 'did you mean "update"?'


def test_a_key_in_the_wrong_section_is_sent_to_its_own(errors_of: Findings) -> None:
    (found,) = errors_of("kafka: {replication_factor: 3}\n")
    assert found.suggestion == "did you mean kafka.create_topics.replication_factor?"
    (found,) = errors_of("syncer: {statement_timeout: 5s}\n")
    assert found.suggestion == 'did you mean "shutdown_timeout" or postgres.statement_timeout?'


def test_a_dotted_key_is_told_to_be_sections(errors_of: Findings) -> None:
    (found,) = errors_of("postgres.pool: {max: 5}\n")
    assert "section of its own" in found.suggestion


def test_typed_mappings_are_said_not_to_be_there_yet(errors_of: Findings, load_text: Load) -> None:
    (found,) = errors_of("mappings:\n  - {collection: players}\n")
    assert (found.code, found.path) == ("config.not_available", "mappings")
    assert load_text("mappings: []").settings.mappings == []


def test_warnings_do_not_stop_loading(load_text: Load) -> None:
    loaded = load_text("mongodb: {full_document: default}")
    assert [warning.code for warning in loaded.warnings] == ["config.partial_updates"]
