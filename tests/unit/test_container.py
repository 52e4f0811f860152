"""The container: lazily, once, closed in reverse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

import pytest

from cdc_cli.container import Container, NotProvided
from cdc_cli.errors import Retryable


class Store(Protocol):
    def read(self) -> str: ...


class MemoryStore:
    def read(self) -> str:
        return "memory"


class FileStore:
    def read(self) -> str:
        return "file"


class Worker:
    def __init__(self, store: Store) -> None:
        self.store = store


@pytest.fixture
def container() -> Container:
    return Container()


@pytest.mark.requirement("R13.3")
def test_a_service_gets_what_it_needs_by_type(container: Container) -> None:
    container.provide(Store, lambda _: MemoryStore())
    container.provide(Worker, lambda c: Worker(c.get(Store)))
    assert container.get(Worker).store.read() == "memory"


def test_nothing_is_made_before_it_is_asked_for_and_then_once(container: Container) -> None:
    made: list[str] = []

    def make(_: Container) -> MemoryStore:
        made.append("store")
        return MemoryStore()

    container.provide(Store, make)
    assert made == []
    assert container.get(Store) is container.get(Store)
    assert made == ["store"]


def test_threads_that_ask_at_the_same_time_get_the_same_service(container: Container) -> None:
    entered = threading.Barrier(4)
    container.provide(Store, lambda _: MemoryStore())
    got: list[Store] = []

    def ask() -> None:
        entered.wait(10)
        got.append(container.get(Store))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(got) == 4
    assert len({id(store) for store in got}) == 1


def generator(name: str, log: list[str]) -> Iterator[str]:
    log.append(f"open {name}")
    yield name
    log.append(f"close {name}")


class First(str):
    pass


class Second(str):
    pass


class Third(str):
    pass


def test_generators_clean_up_last_made_first(container: Container) -> None:
    log: list[str] = []
    container.provide(First, lambda _: generator("first", log))  # type: ignore[arg-type, return-value]
    container.provide(Second, lambda c: (c.get(First), generator("second", log))[1])  # type: ignore[arg-type, return-value]
    with container:
        container.get(Second)
    assert log == ["open first", "open second", "close second", "close first"]


def failing(log: list[str]) -> Iterator[Second]:
    yield Second("second")
    log.append("second fails")
    raise OSError("socket is gone")


def test_a_clean_up_that_fails_is_logged_and_the_rest_still_runs(
    container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    container.provide(First, lambda _: generator("first", log))  # type: ignore[arg-type, return-value]
    container.provide(Second, lambda _: failing(log))
    container.get(First)
    container.get(Second)
    container.close()
    assert log == ["open first", "second fails", "close first"]
    assert "cleaning up Second failed" in caplog.text
    assert "socket is gone" in caplog.text


def test_closing_twice_cleans_up_once(container: Container) -> None:
    log: list[str] = []
    container.provide(First, lambda _: generator("first", log))  # type: ignore[arg-type, return-value]
    container.get(First)
    container.close()
    container.close()
    assert log.count("close first") == 1


def test_a_factory_that_fails_leaves_what_was_made_before_it_to_be_closed(container: Container) -> None:
    log: list[str] = []

    def broken(c: Container) -> Second:
        c.get(First)
        raise Retryable("no answer")

    container.provide(First, lambda _: generator("first", log))  # type: ignore[arg-type, return-value]
    container.provide(Second, broken)
    with container, pytest.raises(Retryable):
        container.get(Second)
    assert log == ["open first", "close first"]


def test_a_type_that_nobody_provides_is_named(container: Container) -> None:
    with pytest.raises(NotProvided, match="nothing provides Worker"):
        container.get(Worker)


def test_services_that_need_each_other_are_named_instead_of_recursing(container: Container) -> None:
    container.provide(First, lambda c: First(c.get(Second)))
    container.provide(Second, lambda c: Second(c.get(First)))
    with pytest.raises(NotProvided, match="First -> Second -> First"):
        container.get(First)


@pytest.mark.requirement("R13.3")
def test_a_test_can_put_another_implementation_in_place(container: Container) -> None:
    container.provide(Store, lambda _: FileStore())
    container.override(Store, lambda _: MemoryStore())
    assert container.get(Store).read() == "memory"


def test_an_override_that_comes_too_late_is_refused(container: Container) -> None:
    container.provide(Store, lambda _: FileStore())
    container.get(Store)
    with pytest.raises(ValueError, match="in use already"):
        container.override(Store, lambda _: MemoryStore())


def test_two_recipes_for_one_type_are_refused(container: Container) -> None:
    container.provide(Store, lambda _: FileStore())
    with pytest.raises(ValueError, match="provided already"):
        container.provide(Store, lambda _: MemoryStore())


def test_services_can_be_asked_whether_they_work(container: Container) -> None:
    container.provide(Store, lambda _: MemoryStore(), ping=lambda store: f"reads {store.read()}")
    container.provide(Third, lambda _: Third("third"))
    pings = container.pings()
    assert [(ping.name, ping.run()) for ping in pings] == [("Store", "reads memory")]
