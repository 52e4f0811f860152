"""One suite for every TokenStore: in memory, in a file, in Valkey."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from cdc_cli.checkpoint import TokenStore
from cdc_cli.checkpoint.file import FileTokenStore
from cdc_cli.checkpoint.redis import RedisTokenStore
from cdc_cli.clock import SystemClock
from cdc_cli.errors import PositionLost, TryLater
from cdc_cli.events import Mark
from tests.support.fakes_checkpoint import FakeTokenStore, Shelf
from tests.support.tokens import BASE, mark, record

pytestmark = pytest.mark.requirement("R2.5", "R13.2")
HISTORY = 5


def never_stopped(seconds: float) -> bool:
    """A wait that really waits, as a watcher's does that nobody stops."""
    import time

    time.sleep(seconds)
    return False


class Place(Protocol):
    """Where stores of one kind keep one token: opens any number of stores on it, and damages it."""

    def open(self, history: int = HISTORY) -> TokenStore: ...
    def overwrite(self, data: bytes) -> None: ...
    def lose(self) -> None: ...


class MemoryPlace:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def open(self, history: int = HISTORY) -> TokenStore:
        return FakeTokenStore(self.shelf, history)

    def overwrite(self, data: bytes) -> None:
        self.shelf.data = data

    def lose(self) -> None:
        self.shelf.data = None


class FilePlace:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "token.json"

    def open(self, history: int = HISTORY) -> TokenStore:
        return FileTokenStore(self.path, history, "0.1.0", never_stopped)

    def overwrite(self, data: bytes) -> None:
        self.path.write_bytes(data)

    def lose(self) -> None:
        self.path.unlink()


class RedisPlace:
    def __init__(self, url: str, prefix: str) -> None:
        self.url, self.prefix = url, prefix

    def open(self, history: int = HISTORY) -> TokenStore:
        return RedisTokenStore(self.url, self.prefix, 1.0, history, "0.1.0", SystemClock(), never_stopped)

    def overwrite(self, data: bytes) -> None:
        with self._client() as client:
            client.hset(f"{self.prefix}token", "record", data)

    def lose(self) -> None:
        with self._client() as client:
            client.delete(f"{self.prefix}token")

    def _client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.url)


@pytest.fixture(params=["memory", "file", "valkey"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return MemoryPlace()
    if request.param == "file":
        return FilePlace(tmp_path)
    prefix = request.getfixturevalue("redis_prefix")
    return RedisPlace(request.getfixturevalue("valkey").url, prefix)


@pytest.fixture
def open_store(place: Place) -> Iterator[Callable[..., TokenStore]]:
    """Opens stores on the place and gives their rights back afterwards."""
    opened: list[TokenStore] = []

    def open_one(acquired: bool = True, history: int = HISTORY) -> TokenStore:
        store = place.open(history)
        opened.append(store)
        if acquired:
            store.acquire()
        return store

    yield open_one
    for store in opened:
        store.release()


Open = Callable[..., TokenStore]


@pytest.mark.requirement("R2.3")
def test_a_place_that_was_never_written_has_no_token_no_history_and_no_holder(open_store: Open) -> None:
    store = open_store(acquired=False)
    assert (store.load(), list(store.history()), store.holder()) == (None, [], None)


@pytest.mark.requirement("R2.1", "R2.2")
def test_what_is_saved_is_what_another_process_loads(open_store: Open) -> None:
    saved = record(7, reason="a test: ümläut \N{SNOWMAN}")
    open_store().save(saved)
    assert open_store(acquired=False).load() == saved


def test_the_newest_save_wins(open_store: Open) -> None:
    store = open_store()
    for n in range(5):
        store.save(record(n))
    assert store.load() == record(4)


def test_a_late_older_save_changes_nothing(open_store: Open) -> None:
    store = open_store()
    store.save(record(9))
    store.save(record(8))
    assert store.load() == record(9)


def test_a_restarted_watcher_cannot_move_the_token_back_either(open_store: Open) -> None:
    first = open_store()
    first.save(record(9))
    first.release()
    second = open_store()
    second.save(record(8))
    assert second.load() == record(9)


def test_an_operator_with_a_reason_moves_the_token_back(open_store: Open) -> None:
    store = open_store()
    store.save(record(9))
    back = record(2, reason="reset to an earlier time")
    store.save(back)
    assert store.load() == back


def test_a_token_of_another_deployment_is_not_compared_by_time(open_store: Open) -> None:
    store = open_store()
    store.save(record(9))
    elsewhere = record(1, cluster_id="65a000000000000000000002")
    store.save(elsewhere)
    assert store.load() == elsewhere


def test_a_mark_that_means_a_time_survives(open_store: Open) -> None:
    start = Mark(token={}, position=None, cluster_time=(BASE, 1), is_event=False)
    store = open_store()
    store.save(record(mark=start, reason="reset"))
    loaded = store.load()
    assert loaded is not None and loaded.mark == start


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b'{"kind":"cdc-resume-token","format":1,"rec', b'{"_data":"826B04"}', b"\x00\xff", b"[]"],
)
def test_a_torn_empty_or_foreign_token_is_refused_with_the_next_step(
    place: Place, open_store: Open, data: bytes
) -> None:
    store = open_store()
    store.save(record(1))
    place.overwrite(data)
    with pytest.raises(PositionLost) as caught:
        store.load()
    assert "cdc token" in caught.value.hint


@pytest.mark.requirement("R2.3")
def test_a_token_that_vanished_is_refused_not_taken_for_none(place: Place, open_store: Open) -> None:
    open_store().save(record(1))
    place.lose()
    with pytest.raises(PositionLost) as caught:
        open_store(acquired=False).load()
    assert caught.value.code == "token.vanished"
    assert "cdc token" in caught.value.hint


def test_an_operator_can_replace_a_damaged_token(place: Place, open_store: Open) -> None:
    first = open_store()
    first.save(record(1))
    first.release()
    place.overwrite(b"garbage")
    second = open_store()
    second.save(record(3, reason="reset after damage"))
    assert second.load() == record(3, reason="reset after damage")


def test_a_cleared_token_is_none_and_stands_in_the_history_with_the_reason(open_store: Open) -> None:
    store = open_store()
    store.save(record(1))
    store.clear("season reset")
    assert open_store(acquired=False).load() is None
    assert [entry.record for entry in store.history()] == [record(1, reason="season reset")]


def test_a_damaged_or_vanished_token_can_be_cleared(place: Place, open_store: Open) -> None:
    store = open_store()
    store.save(record(1))
    store.release()
    place.overwrite(b"garbage")
    store = open_store()
    store.clear("damaged")
    assert store.load() is None
    store.save(record(2))
    assert store.load() == record(2)


def test_the_history_is_newest_first_and_bounded_and_numbers_are_never_used_twice(open_store: Open) -> None:
    store = open_store()
    numbers = [store.remember(record(n)) for n in range(HISTORY + 3)]
    assert numbers == list(range(1, HISTORY + 4))
    kept = [entry for entry in store.history() if entry.number]
    assert [entry.number for entry in kept] == numbers[: -HISTORY - 1 : -1]
    assert kept[0].record == record(HISTORY + 2)


def test_a_history_of_zero_keeps_nothing(open_store: Open) -> None:
    store = open_store(history=0)
    assert store.remember(record(1)) == 0
    assert list(store.history()) == []


def test_a_second_watcher_is_told_who_holds_the_token(open_store: Open) -> None:
    first = open_store()
    second = open_store(acquired=False)
    holder = first.holder()
    assert holder is not None and second.holder() == holder
    with pytest.raises(TryLater, match=holder.host):
        _acquire_while_renewed(second, first)


def _acquire_while_renewed(standby: TokenStore, live: TokenStore) -> None:
    """A live watcher renews at a third of its lease; a standby that waits must notice."""
    import threading

    done = threading.Event()

    def keep() -> None:
        while not done.wait(0.3):
            live.renew()

    thread = threading.Thread(target=keep, name="renewer")
    thread.start()
    try:
        standby.acquire()
    finally:
        done.set()
        thread.join()


def test_the_right_is_free_again_after_release_also_when_released_twice(open_store: Open) -> None:
    first = open_store()
    first.release()
    first.release()
    second = open_store()
    second.save(record(1))
    assert second.load() == record(1)


def test_acquiring_twice_is_once(open_store: Open) -> None:
    store = open_store()
    store.acquire()
    store.save(record(1))
    store.release()
    assert store.holder() is None


def test_whoever_lost_the_right_by_force_never_overwrites(open_store: Open) -> None:
    old, new = open_store(), open_store(acquired=False)
    old.save(record(1))
    new.acquire(force=True)
    new.save(record(0, reason="forced"))
    for attempt in (lambda: old.save(record(5)), old.renew, lambda: old.clear("")):
        with pytest.raises(TryLater):
            attempt()
    assert new.load() == record(0, reason="forced")


def test_the_old_watcher_stays_out_after_the_operator_has_gone(open_store: Open) -> None:
    old, new = open_store(), open_store(acquired=False)
    new.acquire(force=True)
    new.save(record(3, reason="forced"))
    new.release()
    with pytest.raises(TryLater):
        old.save(record(5))
    assert new.load() == record(3, reason="forced")


def test_nothing_is_written_without_the_right(open_store: Open) -> None:
    store = open_store(acquired=False)
    for attempt in (lambda: store.save(record(1)), store.renew, lambda: store.clear("")):
        with pytest.raises(TryLater):
            attempt()
    assert store.load() is None


def test_the_place_can_be_named_without_a_secret(open_store: Open) -> None:
    assert open_store(acquired=False).describe()


def test_tokens_of_any_shape_survive(open_store: Open) -> None:
    from bson import Binary, Int64, ObjectId, Timestamp

    token: dict[str, Any] = {"_typeBits": b"\x82\x00\xff", "_data": Binary(b"", 5), "n": Int64(2**60)}
    token |= {"deep": {"a.b": [ObjectId(b"twelve bytes"), Timestamp(2**32 - 1, 1), None, 1.5]}}
    saved = replace(record(1), mark=mark(1, token=token, is_event=False))
    store = open_store()
    store.save(saved)
    loaded = store.load()
    assert loaded == saved
    assert list(loaded.mark.token) == ["_typeBits", "_data", "n", "deep"], "BSON documents are ordered"
