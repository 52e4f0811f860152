"""No secret in any text: shapes, values, errors, and how a Settings prints (invariant I10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.settings.findings import InvalidConfig
from cdc_cli.settings.models import Settings
from cdc_cli.settings.secrets import MASK, Redactor, mask_secret, mask_uri
from tests.unit.settings.conftest import MINIMAL, Load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb://u:p@h1,h2/db?replicaSet=rs", "mongodb://********@h1,h2/db?replicaSet=rs"),
        ("mongodb://u:p@a/b@h/db", "mongodb://********@h/db"),
        ("redis://:pw@h:6379/0", "redis://********@h:6379/0"),
        (
            "x postgresql://u:p@h/d?sslmode=require&password=p y",
            "x postgresql://********@h/d?sslmode=require&password=******** y",
        ),
        ("host=h user=u password=p dbname=d", "host=h user=u password=******** dbname=d"),
        ("host=h password='a \\' b' dbname=d", "host=h password=******** dbname=d"),
        (
            "mongodb://h/?tlsCertificateKeyFilePassword=p&a=b",
            "mongodb://h/?tlsCertificateKeyFilePassword=********&a=b",
        ),
        (
            "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:t",
            "mongodb://h/?authMechanismProperties=********",
        ),
        ("sasl.password=p, sasl.username=u", "sasl.password=********, sasl.username=u"),
        ("mongodb://localhost:27017 and a@b", "mongodb://localhost:27017 and a@b"),
        ("resume token=abc topic=game", "resume token=abc topic=game"),
    ],
)
def test_user_and_password_go_and_hosts_stay(text: str, expected: str) -> None:
    assert mask_uri(text) == expected
    assert mask_uri(expected) == expected


def test_a_webhook_shows_its_host_only() -> None:
    assert (
        mask_secret("alerts.webhook", "https://hooks.example.com/T0/secret?x=y")
        == f"https://hooks.example.com/{MASK}"
    )
    assert mask_secret("alerts.webhook", "https://h?secret") == f"https://h?{MASK}"
    assert mask_secret("kafka.security.password", "host=x") == MASK
    assert mask_secret("postgres.dsn", "just words") == MASK


def settings_with(password: str) -> Settings:
    from urllib.parse import quote

    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    return Settings.model_validate(
        {
            "mongodb": {"uri": f"mongodb://user:{quote(password, safe='')}@mongo.example/?replicaSet=rs0"},
            "kafka": {"bootstrap_servers": ["h:1"], "security": {"password": password}},
            "postgres": {"dsn": f"host=pg.example password='{escaped}' dbname=game"},
            "token_store": {"redis": {"url": f"redis://:{quote(password, safe='')}@redis.example/0"}},
            "alerts": {"webhook": f"https://hooks.example/{quote(password, safe='')}"},
        }
    )


PRINTABLE = st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=("L", "N", "P", "S"))


@given(st.text(alphabet=PRINTABLE, min_size=6))
def test_the_redactor_finds_every_spelling_of_a_password(password: str) -> None:
    import json
    from urllib.parse import quote, quote_plus

    redactor = Redactor.of(settings_with(password))
    url = (quote(password, safe=""), quote_plus(password))
    for spelling in (password, *url, json.dumps(password), repr(password)):
        assert redactor.clean(f"[{spelling}]").strip("'\"[]") == MASK


def test_the_redactor_keeps_hosts_and_other_words() -> None:
    redactor = Redactor.of(settings_with("s3cr3t/pass word"))
    uri = "mongodb://user:s3cr3t%2Fpass%20word@mongo.example/?replicaSet=rs0"
    text = f"{uri}: connection to mongo.example refused"
    assert redactor.clean(text) == (
        f"mongodb://{MASK}@mongo.example/?replicaSet=rs0: connection to mongo.example refused"
    )
    assert redactor.clean("batch applied") == "batch applied"


def test_a_password_of_one_letter_does_not_eat_the_log() -> None:
    assert Redactor.of(settings_with("a")).clean("a batch was applied") == "a batch was applied"


def test_settings_print_no_secret() -> None:
    text = f"{settings_with('canary-secret')!r} {settings_with('canary-secret')}"
    assert "canary" not in text


BROKEN = [
    "mongodb: {{uri: ['mongodb://u:{0}@h']}}",
    "mongodb: {{uri: 'u:{0}@h'}}",
    "mongodb: {{uri: {{password: {0}}}}}",
    "postgres: {{dsnn: 'host=h password={0}'}}",
    "postgres: {{dsn: '{0}'}}",
    "kafka: {{security: {{protocol: SASL_SSL, password: '{0}'}}}}",
    "kafka: {{security: {{password: {0}: x}}}}",
    "kafka: {{security: {{password: !{0} x}}}}",
    "kafka:\n  security:\n    password: '{0}\n",
    "kafka:\n  security:\n    password: *{0}\n",
    "kafka: {{topic: '{0} x'}}",
    "alerts: {{webhook: 'ftp://{0}'}}",
    "token_store: {{redis: {{url: '{0}'}}}}",
    "syncer: {{workers: '{0}', on_error: '{0}', batch: {{max_wait: '{0}'}}}}",
    "name: '{0} {0}'",
    "mongodb: {{operations: ['{0}']}}",
    "mappings: ['{0}']",
]


@pytest.mark.requirement("R11.5")
@pytest.mark.parametrize("text", BROKEN)
def test_no_value_is_ever_part_of_an_error(load_text: Load, text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_text(text.format("canary7"))
    error = caught.value
    assert "canary" not in f"{error} {error.hint} {error!r}"
    assert "canary" not in str([finding.as_json() for finding in error.findings])
    # Neither in what a traceback would show.
    cause: BaseException | None = caught.value
    while cause is not None:
        assert "canary" not in str(cause)
        cause = cause.__cause__ or cause.__context__


def test_a_number_for_a_password_is_not_printed(load_text: Load) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_text("kafka: {security: {password: 987654321}}\npostgres: {dsn: 0987654321}")
    assert "87654321" not in str(caught.value)


def test_the_minimal_configuration_of_these_tests_has_no_secret() -> None:
    assert mask_uri(MINIMAL) == MINIMAL
