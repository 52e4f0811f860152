"""The dependency injection container: a type stands for how one of it is made (R13.3).

A factory takes the container, gets what it needs from it, and returns the service; or it is a generator that
yields the service once and cleans up after the yield. Everything is made at most once, when first asked for,
and closed in the reverse order. Protocols are the usual keys, so that a test can put a fake in a driver's
place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import GeneratorType, TracebackType
from typing import Any, NamedTuple, Self, TypeVar, cast

from cdc_cli.observe.log import EventLog

T = TypeVar("T")

Key = Callable[..., T]
"""A class or Protocol that stands for its instances. (`type[T]` would refuse Protocols under mypy.)"""

log = EventLog(__name__)


class NotProvided(LookupError):
    """Nobody has said how to make one of these; the wiring is incomplete."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    make: Callable[[Container], Any]
    ping: Callable[[Any], str] | None


class Ping(NamedTuple):
    """A service that can be asked whether it works; `run` answers with one line, or raises CdcError."""

    name: str
    run: Callable[[], str]


class Container:
    """Recipes and the services made from them. Made cheaply: no factory runs before `get`. Thread-safe."""

    def __init__(self) -> None:
        self._recipes: dict[Key[Any], _Recipe] = {}
        self._services: dict[Key[Any], Any] = {}
        self._clean_ups: list[tuple[str, GeneratorType[Any, None, None]]] = []
        self._making: list[Key[Any]] = []
        self._lock = threading.RLock()

    def provide(
        self,
        key: Key[T],
        make: Callable[[Container], T | Iterator[T]],
        *,
        ping: Callable[[T], str] | None = None,
    ) -> None:
        """Say how a service is made, and how to ask it whether it works. Twice for one key is a mistake."""
        with self._lock:
            if key in self._recipes:
                raise ValueError(f"{_name(key)} is provided already; a test replaces it with override()")
            self._recipes[key] = _Recipe(make, ping)

    def override(self, key: Key[T], make: Callable[[Container], T | Iterator[T]]) -> None:
        """Replace a recipe before the service is made: for tests, and commands with a variant of it."""
        with self._lock:
            if key in self._services:
                raise ValueError(f"{_name(key)} is in use already: override it before the first get()")
            self._recipes[key] = _Recipe(make, None)

    def get(self, key: Key[T]) -> T:
        """The service, made now if it was not. Raises NotProvided, or what its factory raises."""
        with self._lock:
            if key not in self._services:
                self._services[key] = self._make(key)
            return cast(T, self._services[key])

    def pings(self) -> list[Ping]:
        """Every service that can be asked whether it works, in the order they were provided."""
        with self._lock:
            return [
                Ping(_name(key), lambda key=key, ping=recipe.ping: ping(self.get(key)))  # type: ignore[misc]
                for key, recipe in self._recipes.items()
                if recipe.ping is not None
            ]

    def close(self) -> None:
        """Clean up, last made first. One that fails is logged and the others still run; twice is harmless."""
        while True:
            with self._lock:
                if not self._clean_ups:
                    self._services.clear()
                    return
                name, generator = self._clean_ups.pop()
            try:
                _finish(name, generator)
            except Exception as error:
                log.error("shutdown.clean_up_failed", "cleaning up %s failed", name, error=error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self, key: Key[Any]) -> Any:
        recipe = self._recipes.get(key)
        if recipe is None:
            raise NotProvided(f"nothing provides {_name(key)}")
        if key in self._making:
            circle = " -> ".join(_name(k) for k in [*self._making, key])
            raise NotProvided(f"services need each other in a circle: {circle}")
        self._making.append(key)
        try:
            made = recipe.make(self)
            if not isinstance(made, GeneratorType):
                return made
            service = next(made)
            self._clean_ups.append((_name(key), made))
            return service
        finally:
            self._making.pop()


def _finish(name: str, generator: GeneratorType[Any, None, None]) -> None:
    try:
        next(generator)
    except StopIteration:
        return
    raise RuntimeError(f"the factory of {name} yields more than once")


def _name(key: Key[Any]) -> str:
    return str(getattr(key, "__name__", key))
