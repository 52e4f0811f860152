"""What only a real server shows: expiry, lost memory, passwords, an outage."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cdc_cli.checkpoint import Writer
from cdc_cli.checkpoint.holder import Holder, this_process
from cdc_cli.checkpoint.redis import RedisTokenStore
from cdc_cli.clock import SystemClock
from cdc_cli.demo.servers import EmbeddedValkey
from cdc_cli.demo.servers.process import free_port
from cdc_cli.errors import ConfigError, Denied, PositionLost, Retryable, TryLater
from cdc_cli.retry import Stopped
from tests.support.fixtures import started
from tests.support.tokens import record

TTL = 0.6


def _store(url: str, prefix: str, stop: threading.Event | None = None) -> RedisTokenStore:
    return RedisTokenStore(url, prefix, TTL, 5, "0.1.0", SystemClock(), (stop or threading.Event()).wait)


@pytest.fixture
def client(valkey: EmbeddedValkey) -> Iterator[Any]:
    with redis.Redis.from_url(valkey.url) as made:
        yield made


@pytest.fixture
def make(valkey: EmbeddedValkey, redis_prefix: str) -> Iterator[Callable[[], RedisTokenStore]]:
    made: list[RedisTokenStore] = []

    def one() -> RedisTokenStore:
        made.append(_store(valkey.url, redis_prefix))
        return made[-1]

    yield one
    for store in made:
        store.release()


Make = Callable[[], RedisTokenStore]


def _leave_lease(client: Any, prefix: str, holder: Holder, ttl_ms: int = 600) -> None:
    """The lease that a watcher leaves behind when it dies."""
    content = json.dumps({"nonce": "0", "holder": holder.to_json()})
    client.set(f"{prefix}token:lease", f"1 {content}", px=ttl_ms)
    client.set(f"{prefix}token:fence", 1)


@pytest.mark.requirement("R2.5")
def test_the_lease_of_a_dead_host_is_waited_out(make: Make, client: Any, redis_prefix: str) -> None:
    _leave_lease(client, redis_prefix, Holder(Writer("gone", 1, "0.1.0"), "another machine", "1"))
    store = make()
    assert store.holder() == Writer("gone", 1, "0.1.0")
    store.acquire()
    store.save(record(1))
    assert client.get(f"{redis_prefix}token:fence") == b"2"


def test_the_lease_of_a_dead_process_of_this_host_is_taken_at_once(
    make: Make, client: Any, redis_prefix: str
) -> None:
    me = this_process("0.1.0")
    _leave_lease(client, redis_prefix, Holder(me.writer, me.machine, "1"), ttl_ms=3_600_000)
    make().acquire()


def test_waiting_for_a_lease_ends_with_the_stop_event(
    valkey: EmbeddedValkey, client: Any, redis_prefix: str
) -> None:
    _leave_lease(
        client, redis_prefix, Holder(Writer("gone", 1, "0.1.0"), "another machine", "1"), ttl_ms=3_600_000
    )
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        _store(valkey.url, redis_prefix, stop).acquire()


def _expired(client: Any, prefix: str) -> None:
    client.delete(f"{prefix}token:lease")


def test_a_watcher_that_slept_past_its_lease_goes_on_when_nobody_took_it(
    make: Make, client: Any, redis_prefix: str
) -> None:
    store = make()
    store.acquire()
    _expired(client, redis_prefix)
    store.save(record(1))
    _expired(client, redis_prefix)
    store.renew()
    assert store.load() == record(1)
    assert store.holder() is not None


def test_a_watcher_that_slept_while_another_took_over_never_writes_again(
    make: Make, client: Any, redis_prefix: str
) -> None:
    sleeper, other = make(), make()
    sleeper.acquire()
    _expired(client, redis_prefix)
    other.acquire()
    other.save(record(5))
    _expired(client, redis_prefix)
    for attempt in (lambda: sleeper.save(record(9)), sleeper.renew):
        with pytest.raises(TryLater):
            attempt()
    assert other.load() == record(5)


def test_a_live_watcher_restores_what_redis_forgot(make: Make, client: Any, redis_prefix: str) -> None:
    store = make()
    store.acquire()
    store.save(record(1))
    for key in client.scan_iter(match=f"{redis_prefix}*"):
        client.delete(key)
    store.save(record(2))
    assert store.load() == record(2)
    assert store.holder() is not None


def test_a_lease_expires_by_itself_and_renewing_keeps_it(
    make: Make, client: Any, redis_prefix: str
) -> None:
    store = make()
    store.acquire()
    key = f"{redis_prefix}token:lease"
    assert 0 < client.pttl(key) <= TTL * 1000
    client.pexpire(key, 60)
    store.renew()
    assert client.pttl(key) > 60


def test_a_key_that_holds_something_else_is_a_mistake_of_the_configuration(
    make: Make, client: Any, redis_prefix: str
) -> None:
    client.set(f"{redis_prefix}token", "x")
    with pytest.raises(ConfigError, match="WRONGTYPE"):
        make().load()


def test_a_token_evicted_alone_is_noticed(make: Make, client: Any, redis_prefix: str) -> None:
    store = make()
    store.acquire()
    store.save(record(1))
    client.delete(f"{redis_prefix}token")
    with pytest.raises(PositionLost, match="is gone"):
        store.load()


def test_an_unreachable_redis_is_retryable_and_its_password_is_not_told() -> None:
    store = _store(f"redis://:s3cr3t-w0rd@127.0.0.1:{free_port()}/0", "x:")
    with pytest.raises(Retryable) as caught:
        store.load()
    assert "s3cr3t" not in caught.value.message + caught.value.hint + store.describe()
    store.release()


def test_a_url_that_is_none_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"token_store\.redis\.url"):
        _store("s3cr3t://nonsense", "x:")


def test_a_wrong_password_is_denied(tmp_path: Path) -> None:
    with started(EmbeddedValkey(tmp_path, password="right")) as server:
        wrong = _store(server.url.replace("right", "wrong"), "x:")
        missing = _store(f"redis://{server.address}/0", "x:")
        for store in (wrong, missing):
            with pytest.raises(Denied):
                store.load()
            store.release()


def test_redis_that_forgets_or_evicts_is_warned_about(tmp_path: Path) -> None:
    with started(EmbeddedValkey(tmp_path, append_only=False)) as server:
        store = _store(server.url, "x:")
        (warning,) = store.warnings()
        assert "memory only" in warning
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "50mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
        assert [text for text in store.warnings() if "evict" in text]
        store.release()


def test_redis_that_persists_is_not_warned_about(make: Make) -> None:
    assert list(make().warnings()) == []


@pytest.mark.requirement("R2.4")
def test_an_outage_is_retryable_and_the_next_save_after_it_works(tmp_path: Path) -> None:
    with started(EmbeddedValkey(tmp_path)) as server:
        store = _store(server.url, "x:")
        store.acquire()
        store.save(record(1))
        server.kill()
        with pytest.raises(Retryable):
            store.save(record(2))
        with pytest.raises(Retryable):
            store.renew()
        server.start()
        store.save(record(3))
        assert store.load() == record(3)
        store.release()


def test_release_never_raises(tmp_path: Path) -> None:
    with started(EmbeddedValkey(tmp_path)) as server:
        store = _store(server.url, "x:")
        store.acquire()
        server.kill()
        store.release()
