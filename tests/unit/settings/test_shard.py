"""The name of a shard, and what it means for a configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_cli.settings.shard import MOST, Shard, all_shards, parse_shard, shard_of_slug
from tests.unit.settings.conftest import Load

SHARDS = st.integers(1, MOST).flatmap(lambda total: st.builds(Shard, st.integers(1, total), st.just(total)))


@given(SHARDS)
def test_a_shard_comes_back_from_its_text_and_from_its_slug(shard: Shard) -> None:
    assert parse_shard(shard.text) == shard
    assert shard_of_slug(shard.slug) == shard


@pytest.mark.parametrize("text", ["", "1", "/4", "0/4", "5/4", "1/65", "1/0", "-1/4", "1/4 ", "1/4\n", "1.0/4", "٣/4"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_shard(text)


@pytest.mark.parametrize("slug", ["", "shard-0-of-4", "shard-1-of-4.prev", "x-shard-1-of-4", "shard-1-of-"])
def test_other_names_are_no_slug(slug: str) -> None:
    assert shard_of_slug(slug) is None


def test_the_shards_of_a_division_are_all_of_them_in_order() -> None:
    assert [shard.text for shard in all_shards(3)] == ["1/3", "2/3", "3/3"]


def test_the_shard_is_read_from_the_file_the_environment_and_options(load_text: Load) -> None:
    assert load_text("watcher: {shard: 1/4}").settings.shard == Shard(1, 4)
    assert load_text("watcher: {shard: 1/4}", env={"CDC_WATCHER__SHARD": "2/4"}).settings.shard == Shard(2, 4)
    assert load_text("watcher: {shard: 1/4}", sets=["watcher.shard=3/4"]).settings.shard == Shard(3, 4)
    assert load_text("watcher: {shard: 1/4}", sets=["watcher.shard=null"]).settings.shard is None
    assert load_text("watcher: {shard: null}").settings.shard is None


def test_the_same_settings_serve_another_shard(load_text: Load) -> None:
    settings = load_text("watcher: {shard: 1/4, heartbeat: 3s}").settings
    assert settings.for_shard(Shard(2, 8)).shard == Shard(2, 8)
    assert settings.for_shard(Shard(2, 8)).watcher.heartbeat == 3.0
    assert settings.for_shard(None).shard is None
