"""The pool, with connections that are not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.errors import Retryable

pytestmark = pytest.mark.requirement("R7.2")


class FakeConnection:
    def __init__(self) -> None:
        self.broken = self.closed = self.cancelled = False
        self.recovered = 0

    def alive(self) -> bool:
        return not self.broken

    def recover(self) -> bool:
        self.recovered += 1
        return not self.broken

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        self.closed = True


class Server:
    """Opens connections, and remembers them."""

    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []
        self.refuse: Exception | None = None

    def __call__(self) -> FakeConnection:
        if self.refuse is not None:
            raise self.refuse
        self.opened.append(FakeConnection())
        return self.opened[-1]


Pool = ConnectionPool[FakeConnection]


def make(minimum: int = 2, maximum: int = 3, timeout: float = 5.0) -> tuple[Pool, Server]:
    server = Server()
    return ConnectionPool(server, minimum, maximum, timeout), server


def test_the_minimum_is_opened_at_the_start_and_the_maximum_never_exceeded() -> None:
    pool, server = make()
    assert server.opened == []
    pool.start()
    assert len(server.opened) == pool.size == pool.idle == 2
    with pool.session(), pool.session(), pool.session():
        assert len(server.opened) == pool.size == 3
    assert pool.idle == 3


def test_the_connection_given_back_last_is_taken_first() -> None:
    pool, _ = make()
    pool.start()
    with pool.session() as first:
        pass
    for _ in range(5):
        with pool.session() as again:
            assert again is first


@pytest.mark.requirement("R7.5")
def test_an_exhausted_pool_waits_until_a_connection_comes_back() -> None:
    pool, server = make(1, 1)
    taken, let_go, got = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with pool.session():
            taken.set()
            assert let_go.wait(10)

    def want() -> None:
        with pool.session():
            got.set()

    threads = [threading.Thread(target=hold), threading.Thread(target=want)]
    threads[0].start()
    assert taken.wait(10)
    threads[1].start()
    assert not got.wait(0.05)
    let_go.set()
    assert got.wait(10)
    for thread in threads:
        thread.join(10)
    assert len(server.opened) == 1


@pytest.mark.requirement("R7.5")
def test_waiting_ends_with_an_error_that_names_size_and_seconds() -> None:
    pool, _ = make(1, 2, timeout=0.01)
    with pool.session(), pool.session():
        third = pool.session()
        with pytest.raises(Retryable, match=r"0\.01 s for one of 2") as caught:
            third.__enter__()
    assert "postgres.pool.max" in caught.value.hint


def test_a_connection_is_cleaned_after_an_exception_and_closed_when_that_fails() -> None:
    pool, server = make(1, 1)
    for broken in (False, True):
        with pytest.raises(ZeroDivisionError), pool.session() as connection:
            connection.broken = broken
            _ = 1 / 0
        assert connection.closed is broken
        assert pool.size == (0 if broken else 1)
    assert server.opened[0].recovered == 2
    with pool.session() as fresh:
        assert fresh is not connection


def test_connections_that_broke_while_idle_are_replaced_without_leaking_a_place() -> None:
    pool, server = make(3, 3)
    pool.start()
    for connection in server.opened:
        connection.broken = True
    with pool.session(), pool.session(), pool.session():
        assert [connection.closed for connection in server.opened] == [True] * 3 + [False] * 3
        assert pool.size == 3


def test_a_connect_that_fails_leaves_its_place_free_for_the_next_try() -> None:
    pool, server = make(1, 1)
    server.refuse = Retryable("no route to host")
    for attempt in (pool.start, lambda: pool.session().__enter__()):
        with pytest.raises(Retryable, match="no route"):
            attempt()
        assert pool.size == 0
    server.refuse = None
    with pool.session():
        assert pool.size == 1


def test_closing_takes_back_what_is_still_in_use_and_ends_all_waiting() -> None:
    pool, server = make(2, 2)
    pool.start()
    failed: list[Retryable] = []

    def want() -> None:
        try:
            with pool.session():
                pass
        except Retryable as error:
            failed.append(error)

    with pool.session() as one, pool.session():
        waiting = threading.Thread(target=want)
        waiting.start()
        pool.close()
        waiting.join(10)
        assert failed
        assert not one.closed
    assert [connection.closed for connection in server.opened] == [True, True]
    assert pool.size == 0


def test_interrupting_cancels_what_is_in_use_only() -> None:
    pool, server = make()
    pool.start()
    with pool.session() as used:
        pool.interrupt()
    assert [connection for connection in server.opened if connection.cancelled] == [used]


def test_many_threads_share_few_connections_one_at_a_time() -> None:
    pool, server = make(1, 3)
    busy: set[int] = set()
    clashes: list[int] = []

    def work(done: Callable[[], bool]) -> None:
        while not done():
            with pool.session() as connection:
                if id(connection) in busy:
                    clashes.append(id(connection))
                busy.add(id(connection))
                busy.discard(id(connection))

    turns = iter(range(2000))
    lock = threading.Lock()

    def done() -> bool:
        with lock:
            return next(turns, None) is None

    threads = [threading.Thread(target=work, args=(done,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert clashes == []
    assert len(server.opened) <= 3
    assert pool.idle == pool.size
