"""`cdc token` against a real MongoDB, with the token in a file or in Valkey."""

from __future__ import annotations

import datetime
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from cdc_cli.capture.identity import identify
from cdc_cli.capture.source import MongoSource
from cdc_cli.checkpoint import TokenStore
from cdc_cli.demo.servers import EmbeddedMongo
from cdc_cli.demo.servers.process import free_port
from cdc_cli.events import Mark
from tests.support.token_site import Site, write_site

ROOT = Path(__file__).parents[2]


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


@pytest.fixture
def file_site(tmp_path: Path, mongo: EmbeddedMongo, mongo_database: Database[Any]) -> Site:
    store = {"backend": "file", "file": {"path": str(tmp_path / "state" / "token.json")}}
    return write_site(tmp_path / "cdc.yaml", mongo.uri, mongo_database.name, store)


@pytest.fixture
def watcher(site: Site) -> Iterator[TokenStore]:
    """Somebody who holds the right to write, renewing it as a watcher does."""
    import threading

    store, done = site.store(), threading.Event()
    store.acquire()

    def renew() -> None:
        while not done.wait(0.3):
            store.renew()

    thread = threading.Thread(target=renew, name="renewer")
    thread.start()
    yield store
    done.set()
    thread.join()
    store.release()


@pytest.mark.requirement("R2.2", "R2.5")
def test_show_tells_all_about_a_stored_token(site: Site) -> None:
    record = site.save()
    text = site.run("show").stdout
    for part in (f"database {site.settings.name}", "pid 4711 on pod-0", "resumable  yes", "runway", "oplog"):
        assert part in text
    assert str(record.mark.token["_data"]) not in text
    assert str(record.mark.token["_data"]) in site.run("show", "--full").stdout


def test_show_as_json_has_the_whole_record_and_the_verdict(site: Site) -> None:
    record = site.save()
    envelope = site.json("show")
    result = envelope["result"]
    assert (envelope["ok"], envelope["command"]) == (True, "token.show")
    assert result["record"]["token"] == record.mark.token
    assert result["record"]["cluster_time"] == list(record.mark.cluster_time or ())
    assert result["matches"] == {"deployment": True, "stream": True, "fingerprint": True}
    assert result["resumable"] == "yes"
    assert result["runway_seconds"] > 0
    assert result["holder"] is None
    assert 0 <= result["age_seconds"] < 600


@pytest.mark.requirement("R2.3")
def test_show_without_a_token_says_where_the_watcher_will_start(site: Site) -> None:
    assert "none: the next cdc watch starts at watcher.start_from (now)" in site.run("show").stdout
    assert site.json("show")["result"]["record"] is None


def test_show_names_the_watcher_that_runs(site: Site, watcher: TokenStore) -> None:
    assert site.json("show")["result"]["holder"]["pid"] == os.getpid()
    assert f"pid {os.getpid()} on " in site.run("show").stdout


def test_show_of_another_filter_stream_or_deployment_says_so(site: Site) -> None:
    site.save(fingerprint="f" * 16)
    envelope = site.json("show")
    assert (envelope["ok"], envelope["result"]["matches"]["fingerprint"]) == (True, False)
    assert "the filter changed" in site.run("show").stdout
    site.save(cluster_id="f" * 24)
    envelope = site.json("show")
    assert (envelope["ok"], envelope["result"]["matches"]["deployment"]) == (False, False)


def test_show_of_a_position_in_the_future_warns(site: Site) -> None:
    site.save(mark=Mark({}, None, (2**32 - 2, 1), False))
    assert "MongoDB's future" in site.run("show").stdout


def test_a_damaged_token_ends_show_with_80_and_the_way_out(file_site: Site) -> None:
    file_site.save()
    Path(file_site.settings.token_store.file.path).write_text("torn")
    result = file_site.run("show", code=80)
    assert "cdc token restore 0" in result.stderr
    envelope = file_site.json("show", code=80)
    assert envelope["error"]["code"] == "token.corrupt"


def test_show_without_mongodb_shows_what_is_stored(file_site: Site, tmp_path: Path) -> None:
    file_site.save()
    dead = f"mongodb://127.0.0.1:{free_port()}/?replicaSet=rs0"
    store = {"backend": "file", "file": {"path": file_site.settings.token_store.file.path}}
    site = write_site(tmp_path / "dead.yaml", dead, file_site.settings.name, store)
    result = site.json("show")["result"]
    assert (result["stored"], result["resumable"]) == (True, "unknown")
    assert [text for text in result["warnings"] if "Connection refused" in text]


def test_without_a_terminal_and_yes_a_reset_only_prints_the_plan(site: Site) -> None:
    record = site.save()
    for arguments in ([], ["--clear"], ["--to-now"], ["--to-oldest"]):
        result = site.run("reset", *arguments)
        assert "effect" in result.stdout
        assert "nothing was changed" in result.stderr
    envelope = site.json("reset", "--to-now")
    assert (envelope["result"]["executed"], envelope["ok"]) == (False, True)
    assert site.stored() == record
    assert site.json("history")["summary"]["entries"] <= 1


def test_a_bare_reset_clears_and_the_printed_command_undoes_it(site: Site) -> None:
    record = site.save()
    said = site.run("reset", "--yes", "--reason", "season reset").stdout
    assert "changes since" in said
    assert site.stored() is None
    undo = said.split("cdc token ")[-1].split()
    assert undo[0] == "restore"
    site.run(*undo, "--yes")
    restored = site.stored()
    assert restored is not None
    assert (restored.mark, restored.reason) == (record.mark, f"restored {undo[1]}")
    assert "season reset" in site.run("history").stdout


def test_a_reset_to_now_skips_what_was_not_sent(site: Site, mongo_database: Database[Any]) -> None:
    oldest = MongoSource(site.settings.mongodb)
    oplog = oldest.oplog()
    oldest.close()
    assert oplog is not None
    former = site.save(mark=Mark({}, None, oplog.first, False))
    mongo_database.players.insert_one({"_id": "skipped"})
    envelope = site.json("reset", "--to-now", "--yes", "--reason", "too old")
    assert "NOT sent" in envelope["result"]["effect"] or envelope["result"]["seconds"] == 0
    assert envelope["result"]["entries"] >= 1
    stored = site.stored()
    assert stored is not None
    assert (stored.reason, stored.writer.pid) == ("too old", os.getpid())
    mongo_database.players.insert_one({"_id": "sent"})
    with mongo_database.watch(start_after=stored.mark.token, max_await_time_ms=500) as stream:
        assert stream.next()["documentKey"] == {"_id": "sent"}
    number = int(envelope["result"]["undo"].rpartition(" ")[2])
    entries = site.json("history")["result"]["entries"]
    kept = next(entry for entry in entries if entry["number"] == number)
    assert kept["cluster_time"] == list(former.mark.cluster_time or ())


def test_a_reset_to_the_oldest_and_to_a_time_store_a_time(site: Site) -> None:
    site.save()
    envelope = site.json("reset", "--to-oldest", "--yes")
    oldest = site.stored()
    assert oldest is not None
    assert (oldest.mark.token, oldest.mark.position) == ({}, None)
    assert oldest.mark.cluster_time is not None
    assert "AGAIN" in envelope["result"]["effect"] or envelope["result"]["seconds"] == 0
    second = oldest.mark.cluster_time[0] + 1
    moment = datetime.datetime.fromtimestamp(second, datetime.UTC).replace(tzinfo=None).isoformat()
    site.run("reset", "--to-datetime", moment, "--yes")
    stored = site.stored()
    assert stored is not None
    assert stored.mark == Mark({}, None, (second, 1), False)
    assert site.json("show")["result"]["resumable"] == "yes"


@pytest.mark.parametrize(
    ("moment", "words"), [("2200-01-01", "in the future"), ("1999-01-01T00:00:00Z", "before the oldest entry")]
)
def test_a_time_outside_of_the_oplog_is_refused(site: Site, moment: str, words: str) -> None:
    record = site.save()
    assert words in site.run("reset", "--to-datetime", moment, "--yes", code=2).stderr
    assert site.stored() == record


@pytest.mark.parametrize("arguments", [["--to-now", "--clear"], ["--to-datetime", "yesterday"]])
def test_two_targets_or_no_time_are_a_mistake_of_usage(file_site: Site, arguments: list[str]) -> None:
    file_site.run("reset", *arguments, "--yes", code=2)


def test_a_reset_is_refused_while_a_watcher_runs(site: Site, watcher: TokenStore) -> None:
    result = site.run("reset", "--to-now", "--yes", code=75)
    assert f"pid {os.getpid()} on " in result.stderr
    assert "blocked" in result.stdout
    assert site.stored() is None


def test_force_lease_takes_the_right_from_the_watcher(site: Site) -> None:
    from cdc_cli.errors import TryLater

    store = site.store()
    store.acquire()
    record = site.settings
    site.run("reset", "--to-now", "--yes", "--force", "lease")
    with pytest.raises(TryLater):
        store.renew()
    store.release()
    assert record.name in (site.stored() or pytest.fail("nothing was stored")).stream


def test_an_unknown_number_is_refused(site: Site) -> None:
    assert "no entry 99" in site.run("restore", "99", "--yes", code=2).stderr


def test_a_damaged_token_can_be_replaced_by_the_former_one(file_site: Site) -> None:
    first, _ = file_site.save(), file_site.save()
    Path(file_site.settings.token_store.file.path).write_text("torn")
    said = file_site.run("restore", "0", "--yes").stdout
    assert "damaged" in said
    stored = file_site.stored()
    assert stored is not None and stored.mark == first.mark


def test_the_records_carry_the_identity_of_the_deployment(site: Site, mongo_database: Database[Any]) -> None:
    site.run("reset", "--to-now", "--yes")
    stored = site.stored()
    assert stored is not None
    assert (stored.replica_set, stored.cluster_id) == identify(mongo_database.client)


def _at_a_terminal(site: Site, answer: bytes, *args: str) -> str:
    """Runs the program on a terminal of its own and answers its question."""
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "cdc_cli", "token", *args, "-c", str(site.config)]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT) as process:
        os.close(terminal)
        said = b""
        asked = False
        while piece := _read(main):
            said += piece
            if b"Do it?" in said and not asked:
                asked = True
                os.write(main, answer)
    os.close(main)
    assert process.returncode == 0, said
    assert asked
    return said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_at_a_terminal_the_consequence_is_shown_before_the_question(file_site: Site) -> None:
    record = file_site.save()
    said = _at_a_terminal(file_site, b"n\n", "reset")
    assert said.index("changes since") < said.index("Do it?")
    assert "nothing was changed" in said
    assert file_site.stored() == record
    said = _at_a_terminal(file_site, b"y\n", "reset")
    assert "to undo it: cdc token restore" in said
    assert file_site.stored() is None
