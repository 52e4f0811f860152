"""Each shard has a token of its own, and a start that would forget the tokens of another division is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cdc_cli.checkpoint.siblings import check_siblings, key_prefix, stored_shards, token_path
from cdc_cli.checkpoint.stores import make_store
from cdc_cli.clock import SystemClock
from cdc_cli.errors import ExitCode, PositionLost, TryLater
from cdc_cli.settings.models import Settings
from cdc_cli.settings.shard import Shard, all_shards, parse_shard
from tests.support.tokens import record


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "name": "game",
            "mongodb": {"uri": "mongodb://localhost"},
            "kafka": {"bootstrap_servers": ["localhost:9092"]},
            "postgres": {"dsn": "postgresql://localhost/x"},
            "token_store": {"file": {"path": str(tmp_path / "cdc-token.json")}},
        }
    )


def _of(settings: Settings, text: str) -> Settings:
    return settings.for_shard(parse_shard(text) if text else None)


def _save(settings: Settings, *texts: str) -> None:
    for text in texts:
        store = make_store(_of(settings, text), SystemClock(), lambda seconds: False)
        store.acquire()
        store.save(record(1))
        store.save(record(2))
        store.release()


def test_the_file_and_the_keys_of_a_shard_carry_its_name(settings: Settings) -> None:
    assert token_path(settings, None).name == "cdc-token.json"
    assert token_path(settings, Shard(1, 4)).name == "cdc-token.shard-1-of-4.json"
    assert key_prefix(settings, None) == "cdc:game:"
    assert key_prefix(settings, Shard(1, 4)) == "cdc:game:shard-1-of-4:"


def test_shards_hold_their_tokens_beside_one_another(settings: Settings) -> None:
    stores = [make_store(settings.for_shard(shard), SystemClock(), lambda seconds: False) for shard in all_shards(2)]
    for store in stores:
        store.acquire()
    with pytest.raises(TryLater):
        make_store(_of(settings, "1/2"), SystemClock(), lambda seconds: False).acquire()
    for number, store in enumerate(stores):
        store.save(record(number))
        store.release()
    assert [store.load() for store in stores] == [record(0), record(1)]


def test_the_stored_shards_are_found_and_other_files_are_not(settings: Settings, tmp_path: Path) -> None:
    assert stored_shards(settings) == set()
    _save(settings, "", "1/4", "3/4")
    for name in ("cdc-token.shard-9-of-4x.json", "other.shard-2-of-4.json", "cdc-token.json.bak"):
        (tmp_path / name).touch()
    assert stored_shards(settings) == {None, Shard(1, 4), Shard(3, 4)}


@pytest.mark.parametrize(("stored", "now"), [("", "1/4"), ("1/4", "1/8"), ("8/8", "3/4"), ("2/4", ""), ("1/1", "")])
def test_a_first_start_beside_tokens_of_another_division_is_refused(settings: Settings, stored: str, now: str) -> None:
    _save(settings, stored)
    with pytest.raises(PositionLost, match="another division") as refused:
        check_siblings(_of(settings, now), is_first_start=True)
    assert refused.value.code == "token.resharded"
    assert refused.value.exit_code is ExitCode.POSITION_LOST
    assert "--to-datetime" in refused.value.hint


@pytest.mark.parametrize(("stored", "now"), [("", "1/4"), ("1/4", "1/8"), ("1/4", "")])
def test_with_a_token_of_its_own_a_start_is_not_refused(settings: Settings, stored: str, now: str) -> None:
    _save(settings, stored)
    check_siblings(_of(settings, now), is_first_start=False)


@pytest.mark.parametrize("now", ["", "2/4", "1/1"])
def test_the_first_start_of_all_is_not_refused(settings: Settings, now: str) -> None:
    check_siblings(_of(settings, now), is_first_start=True)


def test_the_shards_without_a_token_are_named(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    _save(settings, "1/4", "3/4")
    with caplog.at_level(logging.INFO):
        check_siblings(_of(settings, "1/4"), is_first_start=False)
    assert "of 4 shards these have no token in this store yet: shard 2/4, shard 4/4" in caplog.text


def test_nothing_is_said_when_every_shard_has_its_token(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    _save(settings, "1/2", "2/2")
    with caplog.at_level(logging.INFO):
        check_siblings(_of(settings, "1/2"), is_first_start=False)
        check_siblings(settings, is_first_start=False)
    assert not caplog.records
