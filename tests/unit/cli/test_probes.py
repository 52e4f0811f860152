"""Asking all servers at once: one deadline, one sentence each, the worst code, and no secret."""

from __future__ import annotations

import threading

import pytest

from cdc_cli.cli.probes import PROBES, Answer, Outcome, run_probes, worst
from cdc_cli.errors import ConfigError, Denied, ExitCode, Retryable
from cdc_cli.settings.models import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {
            "mongodb": {"uri": "mongodb://user:canary-pw@mongo.example/"},
            "kafka": {"bootstrap_servers": ["h:1"]},
            "postgres": {"dsn": "host=pg.example password=canary-pw"},
        }
    )


def test_a_server_that_never_answers_costs_the_deadline_once_and_is_unreachable(settings: Settings) -> None:
    forever = threading.Event()

    def hangs(settings: Settings, seconds: float) -> Answer:
        forever.wait()
        return Answer("too late")

    probes = {"A": hangs, "B": lambda s, seconds: Answer(f"has {seconds:g} s"), "C": hangs}
    outcomes = run_probes(settings, 0.2, probes)
    forever.set()
    assert [(o.server, o.is_fit, o.code) for o in outcomes] == [
        ("A", False, ExitCode.UNREACHABLE),
        ("B", True, ExitCode.OK),
        ("C", False, ExitCode.UNREACHABLE),
    ]
    assert outcomes[0].message == "no answer within 0.2 s"
    assert outcomes[1].message == "has 0.2 s"


def test_all_servers_are_asked_at_the_same_time(settings: Settings) -> None:
    together = threading.Barrier(3, timeout=10)

    def meets(settings: Settings, seconds: float) -> Answer:
        together.wait()
        return Answer("met")

    outcomes = run_probes(settings, 10, {"A": meets, "B": meets, "C": meets})
    assert [outcome.message for outcome in outcomes] == ["met", "met", "met"]


def test_an_error_keeps_its_hint_and_loses_its_secrets(settings: Settings) -> None:
    def refuses(settings: Settings, seconds: float) -> Answer:
        raise Denied("login user:canary-pw refused", "correct canary-pw", "mongodb.authentication")

    def breaks(settings: Settings, seconds: float) -> Answer:
        raise RuntimeError("canary-pw")

    denied, broken = run_probes(settings, 10, {"A": refuses, "B": breaks})
    assert (denied.message, denied.hint) == ("login user:******** refused", "correct ********")
    assert (denied.code, denied.error_code) == (ExitCode.DENIED, "mongodb.authentication")
    assert (broken.message, broken.code) == ("unexpected RuntimeError: ********", ExitCode.BUG)


def test_the_worst_code_is_78_before_80_before_77_before_69() -> None:
    def code(*errors: ConfigError | Denied | Retryable | None) -> ExitCode:
        return worst(Outcome("x", 0.0, "", code=e.exit_code if e else ExitCode.OK) for e in errors)

    assert code() is ExitCode.OK
    assert code(None, None) is ExitCode.OK
    assert code(None, Retryable("")) is ExitCode.UNREACHABLE
    assert code(Retryable(""), Denied("")) is ExitCode.DENIED
    assert code(Retryable(""), ConfigError(""), Denied("")) is ExitCode.CONFIG


def test_only_the_token_store_that_is_used_is_asked(settings: Settings) -> None:
    assert [probe.name for probe in PROBES if probe.is_needed(settings)][-1] == "token file"
    other = settings.model_copy(
        update={"token_store": settings.token_store.model_copy(update={"backend": "redis"})}
    )
    assert [probe.name for probe in PROBES if probe.is_needed(other)][-1] == "Redis"
