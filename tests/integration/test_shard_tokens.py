"""The tokens of shards in a file and in Valkey: beside one another, found, shown, set and cleared one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from cdc_cli.checkpoint.siblings import check_siblings, stored_shards
from cdc_cli.demo.servers import EmbeddedMongo
from cdc_cli.errors import PositionLost
from cdc_cli.settings.shard import MOST, Shard
from tests.support.token_site import Site, write_site


@pytest.fixture(params=["file", "valkey"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, mongo: EmbeddedMongo, mongo_database: Database[Any]
) -> Site:
    store: dict[str, Any] = {"backend": "file", "file": {"path": str(tmp_path / "state" / "token.json")}}
    if request.param == "valkey":
        prefix = request.getfixturevalue("redis_prefix")
        url = request.getfixturevalue("valkey").url
        store = {"backend": "redis", "redis": {"url": url, "key_prefix": prefix, "lease": "1s"}}
    return write_site(tmp_path / "cdc.yaml", mongo.uri, mongo_database.name, store)


def _sharded(site: Site, shard: str) -> Site:
    tree = json.loads(site.config.read_text())
    config = site.config.with_name(f"cdc-{shard.replace('/', '-')}.yaml")
    config.touch(mode=0o600)
    config.write_text(json.dumps({**tree, "watcher": {"shard": shard}}))
    return Site(config)


def test_the_token_of_each_shard_is_set_shown_and_cleared_by_itself(site: Site) -> None:
    site.run("reset", "--shard", "1/2", "--to-now", "--yes")
    stored = site.json("show", "--shard", "1/2")["result"]["record"]
    assert stored["stream"] == f"database {site.settings.name}, shard 1/2"
    assert site.json("show")["result"]["stored"] is False
    assert site.json("show", "--shard", "2/2")["result"]["stored"] is False
    site.run("reset", "--shard", "1/2", "--clear", "--yes")
    assert site.json("show", "--shard", "1/2")["result"]["stored"] is False
    assert len(site.json("history", "--shard", "1/2")["result"]["entries"]) == 1
    assert site.json("history")["result"]["entries"] == []


def test_all_shards_are_shown_with_the_earliest_position(site: Site) -> None:
    first = _sharded(site, "1/2").save()
    shown = site.json("show", "--shard", "*/2", code=0)
    assert shown["ok"] is False
    assert [entry["stored"] for entry in shown["result"]["shards"]] == [True, False]
    assert shown["result"]["earliest"] is None
    _sharded(site, "2/2").save()
    shown = site.json("show", "--shard", "*/2")
    assert shown["ok"] is True
    times = [entry["record"]["time"] for entry in shown["result"]["shards"]]
    assert shown["result"]["earliest"] == min(times)
    assert first.writer.pid == shown["result"]["shards"][0]["record"]["saved_by"]["pid"]
    text = site.run("show", "--shard", "*/2").stdout
    assert [line.split()[0] for line in text.splitlines()[:3]] == ["SHARD", "1/2", "2/2"]
    assert f"earliest position: {min(times)}" in text


def test_what_is_no_shard_is_wrong_use_or_a_wrong_value(site: Site) -> None:
    site.run("show", "--shard", "*/99", code=2)
    site.run("show", "--shard", "3/2", code=78)
    site.run("reset", "--shard", "*/2", "--to-now", "--yes", code=78)


@pytest.mark.requirement("R2.2")
def test_the_tokens_of_another_division_are_found(site: Site) -> None:
    settings = site.settings
    assert stored_shards(settings) == set()
    for shard in ("1/2", "2/2", f"{MOST}/{MOST}"):
        _sharded(site, shard).save()
    assert stored_shards(settings) == {Shard(1, 2), Shard(2, 2), Shard(MOST, MOST)}
    with pytest.raises(PositionLost, match="shard 1/2, shard 2/2"):
        check_siblings(settings, is_first_start=True)
    site.save()
    assert None in stored_shards(settings)
    check_siblings(settings, is_first_start=False)


def test_a_token_of_another_shard_is_a_mismatch(site: Site) -> None:
    record = _sharded(site, "1/2").save()
    other = _sharded(site, "2/2")
    other.save(stream=record.stream)
    shown = other.json("show")
    assert shown["result"]["matches"] == {"deployment": True, "stream": False, "fingerprint": True}
    assert shown["ok"] is False
