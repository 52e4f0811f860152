"""With access control everywhere and least rights: the pipeline works, strange names do no harm, no secret is seen."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pymongo import MongoClient

from cdc_cli.demo.servers.process import free_port
from tests.support.cdc_process import CdcProcess
from tests.support.pipeline import Pipeline
from tests.support.rows import query
from tests.support.secured_site import CANARIES, SYNCER, WATCHER, SecuredSite, secured_site
from tests.support.topics import Topics

NAME = "game"
DEAD_LETTERS = f"cdc.dlq.{NAME}"
STRANGE = (
    'x"; DROP TABLE players; --', "a%s%(b)s", "a_b", "a-b", "a b", "a.b", "o'clock", "Players", "ключ", "\U0001f600",
    "long" * 30 + "1", "long" * 30 + "2", "pg_class", "cdc_tombstones",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredSite]:
    with secured_site(tmp_path_factory.mktemp("secured")) as made:
        made.grant_kafka(NAME)
        yield made


@pytest.fixture
def game(site: SecuredSite) -> Iterator[Any]:
    with MongoClient[Any](site.mongo.uri) as client:
        yield client["game"]


@pytest.fixture
def secured(site: SecuredSite, game: Any, tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(NAME, tmp_path, game, site.target, site.config(NAME, WATCHER))
    yield made
    made.close()


def spellings(secret: str) -> set[str]:
    """The ways in which a secret could be written, and the part of it that no spelling changes."""
    word = "-".join(secret.split("-")[:2])
    return {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1], word}


def assert_no_canary(text: str, where: str) -> None:
    for secret in CANARIES.values():
        for spelling in spellings(secret):
            at = text.find(spelling)
            assert at < 0, f"{where} shows {spelling!r}: ...{text[max(0, at - 200) : at + 100]}"


def rows(site: SecuredSite) -> set[tuple[str, str]]:
    """(collection, _id) of every row of every table."""
    tables = [name for (name,) in query(site.target, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    found: set[tuple[str, str]] = set()
    for table in tables:
        quoted = table.replace('"', '""')
        found |= set(query(site.target, f"SELECT document->>'of', _id FROM public.\"{quoted}\""))
    return found


def documents(game: Any) -> set[tuple[str, str]]:
    return {(each["of"], each["_id"]) for name in game.list_collection_names() for each in game[name].find()}


@pytest.mark.requirement("R3.1", "R5.5", "R10.4", "R13.1")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_with_least_rights_everything_arrives_whatever_its_name_and_no_secret_is_seen(
    site: SecuredSite, secured: Pipeline, game: Any, client: str
) -> None:
    pages = {command: free_port() for command in ("watch", "sync")}
    started: dict[str, CdcProcess] = {}
    for command, user in (("watch", WATCHER), ("sync", SYNCER)):
        changes = {"kafka.client": client, "http.enabled": True, "http.bind": f"127.0.0.1:{pages[command]}"}
        changes["kafka.security.username"] = user
        started[command] = secured.start(command, changes=changes)
    sync = started["sync"]
    for number, name in enumerate((*STRANGE, "players")):
        game[name].insert_many([{"_id": f"{client} {number} {n}", "of": name} for n in range(3)])
        game[name].update_one({"_id": f"{client} {number} 0"}, {"$set": {"level": 2}})
        game[name].delete_one({"_id": f"{client} {number} 1"})
    secured.wait_until(lambda: rows(site) == documents(game), "every row is there", 60)

    _poison(site, client)
    sync.wait_for("event.dead_lettered", timeout=30)
    with Topics(site.kafka.bootstrap) as topics:
        secured.wait_until(lambda: bool(topics.read([DEAD_LETTERS])), "a dead letter")
        for letter in topics.read([DEAD_LETTERS]):
            assert_no_canary(repr(letter.headers), "a dead letter")
    for command, process in started.items():
        for page in ("metrics", "status", "readyz"):
            assert_no_canary(_fetch(pages[command], page), f"/{page} of {command}")
        assert_no_canary(Path(f"/proc/{process.pid}/cmdline").read_text(), "the process list")
    for process in started.values():
        assert process.stop() == 0, process.tail()
        assert len(process.lines()) > 5
        assert_no_canary(process.text(), f"the log of {process}")


def _poison(site: SecuredSite, client: str) -> None:
    from tests.support.kafka_site import KafkaSite

    with KafkaSite(site.kafka.bootstrap, "") as kafka:
        kafka.produce("cdc.game.players", [b"{bad " + client.encode()])


def _fetch(port: int, page: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as reply:
            return str(reply.read().decode())
    except urllib.error.HTTPError as refused:
        with refused:
            return str(refused.read().decode())


WRONG = {"mongodb": "canary-mongo-wrong", "kafka": "canary-kafka-wrong", "postgres": "canary-pg-wrong",
         "redis": "canary-redis-wrong"}  # fmt: skip


@pytest.mark.requirement("R10.4", "R11.5", "R12.5")
@pytest.mark.parametrize(
    ("wrong", "client"), [*((wrong, "kafka-python") for wrong in WRONG), ("kafka", "confluent")]
)
def test_a_wrong_password_is_told_without_showing_it(
    site: SecuredSite, secured: Pipeline, wrong: str, client: str
) -> None:
    secured.config = site.config(NAME, WATCHER, **{wrong: WRONG[wrong]})
    secured.set("kafka.client", client)
    command = "sync" if wrong == "postgres" else "watch"
    secured.set("kafka.security.username", SYNCER if command == "sync" else WATCHER)
    ended = secured.run(command, timeout=40)
    assert ended.code in (77, 69), ended.stderr  # kafka-python now and then misses the broker's answer
    if (wrong, client) != ("kafka", "kafka-python"):
        assert ended.code == 77
    assert "Traceback" not in "\n".join(ended.sentences)
    assert_no_canary(ended.stdout + ended.stderr, command)


@pytest.mark.requirement("R10.4", "R11.3")
def test_the_commands_that_show_things_show_no_secret(site: SecuredSite, secured: Pipeline) -> None:
    for args in (["config", "show", "--origin"], ["token", "show"], ["token", "history"]):
        ended = secured.run(*args, timeout=40)
        assert_no_canary(ended.stdout + ended.stderr, " ".join(args))
    secured.config = site.config(NAME, WATCHER, **WRONG)
    file = secured.write_config()
    from tests.support.cdc_process import run_cdc

    ended = run_cdc("config", "validate", str(file), "--connect", folder=secured.folder, timeout=60)
    assert ended.code != 0
    assert_no_canary(ended.stdout + ended.stderr, "config validate --connect")


@pytest.mark.requirement("R13.1")
def test_the_probes_are_content_with_least_rights(site: SecuredSite, secured: Pipeline) -> None:
    for user in (WATCHER, SYNCER):
        secured.set("kafka.security.username", user)
        file = secured.write_config()
        from tests.support.cdc_process import run_cdc

        ended = run_cdc("config", "validate", str(file), "--connect", folder=secured.folder, timeout=60)
        assert ended.code == 0, ended.stdout + ended.stderr
