"""${VAR} in the file, CDC_ variables, --set, and the files that hold secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.settings.expand import expand
from tests.unit.settings.conftest import Findings, Load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${B:-two}", "two"),
        ("${A:-two}", "one"),
        ("$$A", "$A"),
        ("$${A}", "${A}"),
        ("pa$word", "pa$word"),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${B:-}", ""),
        ("${NESTED}", "${A}"),
        ("$", "$"),
    ],
)
def test_references_are_replaced_once(text: str, expected: str) -> None:
    found = expand(text, {"A": "one", "EMPTY": "", "NESTED": "${A}"})
    assert (found.text, found.unset, found.is_malformed) == (expected, (), False)


@given(st.text())
def test_a_value_with_doubled_dollars_is_that_value(value: str) -> None:
    assert expand(value.replace("$", "$$"), {}).text == value


def test_a_value_from_a_variable_is_never_read_as_yaml(load_text: Load) -> None:
    env = {"X": "a: [b, &c] # ${Y} no", "W": "16", "LIST": "a:1,b:2", "OFF": "false"}
    loaded = load_text(
        "postgres: {schema: '${X}'}\nsyncer:\n  workers: ${W}\nkafka:\n  bootstrap_servers: ${LIST}\n"
        "http:\n  enabled: ${OFF}\nalerts:\n  webhook: ${NONE:-}\n",
        env=env,
    )
    settings = loaded.settings
    assert settings.postgres.schema_ == env["X"]
    assert (settings.syncer.workers, settings.kafka.bootstrap_servers) == (16, ["a:1", "b:2"])
    assert (settings.http.enabled, settings.alerts.webhook) == (False, None)


@pytest.mark.requirement("R11.4")
def test_a_variable_that_is_not_set_is_an_error_at_its_place(errors_of: Findings) -> None:
    (found,) = errors_of("postgres:\n  dsn: ${NOT_SET}\n")
    assert (found.code, found.place, found.path) == ("config.unset_variable", "1.yaml:2:8", "postgres.dsn")


def test_offline_it_is_a_warning_and_nothing_is_concluded_from_it(load_text: Load) -> None:
    loaded = load_text(
        "postgres: {dsn: '${DSN}', pool: {min: 60, max: '${MAX}'}}\nmongodb:\n  uri: ${URI}\n", offline=True
    )
    assert [warning.path for warning in loaded.warnings] == [
        "postgres.dsn",
        "postgres.pool.max",
        "mongodb.uri",
    ]
    assert loaded.unknown == {"postgres.dsn", "postgres.pool.max", "mongodb.uri"}


def test_offline_the_other_mistakes_are_still_found(errors_of: Findings) -> None:
    found = errors_of("postgres: {dsn: '${DSN}', schema: pg_x}\nsyncer: {workers: -1}\n", offline=True)
    assert [finding.path for finding in found] == ["postgres.schema", "syncer.workers"]


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${1A}", "${A-b}", "${A:?b}"])
def test_what_is_not_a_reference_is_an_error_that_tells_how_to_escape(errors_of: Findings, text: str) -> None:
    (found,) = errors_of(f"name: '{text}'")
    assert found.code == "config.invalid_variable"
    assert "$${" in found.suggestion


@pytest.mark.requirement("R11.5")
def test_a_misspelt_variable_of_ours_is_an_error(errors_of: Findings) -> None:
    (found,) = errors_of(env={"CDC_POSTGERS__DSN": "host=h password=canary"})
    assert (found.code, found.place) == ("config.unknown_variable", "env CDC_POSTGERS__DSN")
    assert found.suggestion == "did you mean CDC_POSTGRES__DSN?"
    assert "canary" not in found.text


def test_variables_of_a_kubernetes_service_named_cdc_are_left_alone(load_text: Load) -> None:
    env = {
        "CDC_PORT": "tcp://1.2.3.4:80",
        "CDC_SERVICE_HOST": "1.2.3.4",
        "CDC_PORT_9464_TCP": "x",
        "CDC_VERSION": "2",
    }
    assert load_text(env=env).warnings == ()


def test_a_variable_that_is_nearly_ours_is_a_warning(load_text: Load) -> None:
    warnings = load_text(env={"CDC_MONGODB_URI": "mongodb://h", "CDC_KAFKA": "x"}).warnings
    assert [w.suggestion for w in warnings] == [
        "a section cannot be set as a whole: set its keys",
        "did you mean CDC_MONGODB__URI?",
    ]


def test_a_wrong_value_from_the_environment_names_the_variable(errors_of: Findings) -> None:
    (found,) = errors_of(env={"CDC_SYNCER__WORKERS": "many"})
    assert (found.place, found.path) == ("env CDC_SYNCER__WORKERS", "syncer.workers")
    (found,) = errors_of(env={"CDC_MONGODB__COLLECTIONS": "[a, b"})
    assert found.message == "a list is expected, such as [a, b]"


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("syncer.workrs=5", "config.unknown_key"),
        ("syncer=5", "config.invalid_option"),
        ("workers", "config.invalid_option"),
        ("=5", "config.invalid_option"),
        ("postgres.dsn=host=h password=canary", "config.exposed_secret"),
        ("mongodb.uri=mongodb://u:canary@h", "config.exposed_secret"),
        ("kafka.security.password=canary", "config.exposed_secret"),
        ("alerts.webhook=https://h/canary", "config.exposed_secret"),
    ],
)
def test_options_that_cannot_be_meant_are_errors(errors_of: Findings, option: str, code: str) -> None:
    (found,) = errors_of(sets=[option])
    assert found.code == code
    assert "canary" not in found.text


def test_an_option_may_hold_an_address_without_a_secret_and_the_last_one_wins(load_text: Load) -> None:
    loaded = load_text(sets=["mongodb.uri=mongodb://a", "mongodb.uri=mongodb://b/?x=y"])
    assert loaded.settings.mongodb.uri.get_secret_value() == "mongodb://b/?x=y"


TWINS = [
    ("mongodb", "uri", "mongodb://u:canary@h"),
    ("postgres", "dsn", "host=h password=canary"),
    ("alerts", "webhook", "https://h/canary"),
]


@pytest.mark.parametrize(("section", "key", "value"), TWINS)
@pytest.mark.parametrize("by_environment", [True, False])
def test_a_secret_can_come_from_a_file(
    errors_of: Findings, load_text: Load, section: str, key: str, value: str, by_environment: bool
) -> None:
    file = Path("secret")
    file.write_text(f"{value}\n")
    file.chmod(0o600)
    base = {
        "mongodb": "{uri: 'mongodb://h'}",
        "postgres": "{dsn: host=h}",
        "kafka": "{bootstrap_servers: ['h:1']}",
    }
    base.pop(section, None)
    text = "".join(f"{name}: {body}\n" for name, body in base.items())
    env = {f"CDC_{section}__{key}_FILE".upper(): "secret"} if by_environment else {}
    text += "" if by_environment else f"{section}:\n  {key}_file: secret\n"
    loaded = load_text(text, env=env, base=False)
    assert getattr(getattr(loaded.settings, section), key).get_secret_value() == value
    assert loaded.warnings == ()
    (found,) = errors_of(text, f"{section}: {{{key}: '{value}'}}", env=env, base=False)
    assert found.code == "config.secret_twice"
    assert "canary" not in found.text


def test_the_other_secrets_have_files_too(load_text: Load) -> None:
    Path("p").write_text("canary")
    Path("u").write_text("redis://:canary@h\r\n")
    for file in ("p", "u"):
        Path(file).chmod(0o600)
    settings = load_text(
        "kafka: {security: {protocol: SASL_SSL, mechanism: PLAIN, username: u, password_file: p}}\n"
        "token_store: {redis: {url_file: u}}"
    ).settings
    assert settings.kafka.security.password is not None
    assert settings.kafka.security.password.get_secret_value() == "canary"
    assert settings.token_store.redis.url.get_secret_value() == "redis://:canary@h"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"a\nb\n", "one line"),
        (b"\xff", "UTF-8"),
        (b"x" * 70000, "64 KiB"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_an_error_and_offline_a_warning(
    errors_of: Findings, load_text: Load, content: bytes | None, reason: str
) -> None:
    if content is not None:
        Path("secret").write_bytes(content)
    text = "alerts:\n  webhook_file: secret\n"
    (found,) = errors_of(text)
    assert (found.code, found.place) == ("config.secret_file", "1.yaml:2:17")
    assert reason in found.message
    assert [warning.code for warning in load_text(text, offline=True).warnings] == ["config.secret_file"]


def test_secrets_that_every_user_can_read_are_a_warning(load_text: Load) -> None:
    Path("secret").write_text("https://h/x")
    Path("secret").chmod(0o644)
    warnings = load_text("alerts: {webhook_file: secret}").warnings
    assert [(w.code, w.path) for w in warnings] == [("config.readable_secret", "alerts.webhook_file")]
    assert warnings[0].suggestion == "chmod 600 secret"


def test_a_public_configuration_file_with_a_secret_in_clear_is_a_warning(own_folder: Path) -> None:
    from cdc_cli.settings.load import load
    from tests.unit.settings.conftest import MINIMAL

    def codes(text: str) -> list[str]:
        Path("c.yaml").write_text(text)
        Path("c.yaml").chmod(0o644)
        return [warning.code for warning in load(["c.yaml"], {"DSN": "host=h password=canary"}).warnings]

    assert codes(MINIMAL) == []
    assert codes(MINIMAL.replace("dbname=game", "password=canary")) == ["config.readable_secret"]
    assert codes(MINIMAL.replace("host=localhost dbname=game", "${DSN}")) == []
