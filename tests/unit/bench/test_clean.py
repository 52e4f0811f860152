"""Cleaning goes on whatever fails, and what is left is named with a command and without a secret."""

from __future__ import annotations

from cdc_cli.bench.clean import Cleaned, clean_run, remove
from cdc_cli.bench.names import Run
from cdc_cli.bench.report import leftover_lines
from cdc_cli.bench.things import Kind, Thing, command, expected, found
from cdc_cli.errors import Denied, Retryable
from tests.unit.bench.test_settings import RUN, settings

OTHER = Run("cdc_bench_20251124t160001ffffff")


class FakeSite:
    def __init__(self, kind: Kind, names: list[str], refuses: tuple[str, ...] = (), is_down: bool = False) -> None:
        self.kinds = (kind,)
        self.names = list(names)
        self.refuses = refuses
        self.is_down = is_down

    def find(self, run: Run | None) -> list[Thing]:
        if self.is_down:
            raise Retryable("no connection")
        return found(self.kinds[0], self.names, run)

    def remove(self, thing: Thing) -> None:
        if thing.name in self.refuses:
            raise Denied("not allowed")
        self.names.remove(thing.name)

    def close(self) -> None: ...


def say(thing: Thing) -> str:
    return command(thing, settings(kafka={"bootstrap_servers": ["broker:9092"]}))


def test_all_of_the_run_goes_and_nothing_else() -> None:
    site = FakeSite(Kind.TOPIC, ["players", RUN.events, OTHER.events, RUN.dead_letters, "cdc_bench_results"])
    cleaned = clean_run([site], RUN, expected(RUN, "/tmp/x"), say)
    assert site.names == ["players", OTHER.events, "cdc_bench_results"]
    assert ([thing.name for thing in cleaned.removed], cleaned.left) == ([RUN.dead_letters, RUN.events], [])


def test_what_is_refused_is_named_and_the_rest_still_goes() -> None:
    topics = FakeSite(Kind.TOPIC, [RUN.dead_letters, RUN.events], refuses=(RUN.dead_letters,))
    folders = FakeSite(Kind.FOLDER, [f"{RUN}_abcdefgh"])
    cleaned = clean_run([topics, folders], RUN, expected(RUN, "/tmp/x"), say)
    assert (topics.names, folders.names) == ([RUN.dead_letters], [])
    (left,) = cleaned.left
    assert left.command == f"kafka-topics.sh --bootstrap-server broker:9092 --delete --topic {RUN.dead_letters}"
    assert "not allowed" in "\n".join(leftover_lines(cleaned.left))


def test_of_a_site_that_cannot_be_asked_everything_expected_is_named() -> None:
    sites = [FakeSite(kind, [], is_down=True) for kind in Kind]
    cleaned = clean_run(sites, RUN, expected(RUN, "/tmp/a b"), say)
    commands = [left.command for left in cleaned.left]
    assert len(commands) == 2 + 3 + 3 + 1 + 1
    assert any("getSiblingDB" in text and RUN.latency in text for text in commands)
    assert any("--delete --group" in text and RUN.replay in text for text in commands)
    assert any(f'DROP SCHEMA IF EXISTS "{RUN}" CASCADE' in text for text in commands)
    assert "rm -r '/tmp/a b'" in commands


def test_single_things_can_be_removed() -> None:
    site, cleaned = FakeSite(Kind.COLLECTION, [RUN.events]), Cleaned()
    remove(site, site.find(None), cleaned, say)
    assert (site.names, len(cleaned.removed)) == ([], 1)
