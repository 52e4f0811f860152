"""Servers of their own for the tests that break them."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cdc_cli.demo.servers import ServerError
from tests.faults.longrun.site import Site


@pytest.fixture(autouse=True)
def quiet_driver() -> Iterator[None]:
    """kafka-python leaves sockets of failed connections to the collector; those of our observers are nobody's fault.

    Before the test as well: what the one before still held at its end is only now nobody's.
    """
    _collect()
    yield
    _collect()


def _collect() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Fresh servers behind proxies; a machine without them skips the test, and fails it when CI=true."""
    yield from _started(tmp_path_factory)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same for all tests of a module."""
    yield from _started(tmp_path_factory)


def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(Site(tmp_path_factory.mktemp("site")))
        except ServerError as exc:
            give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            give_up(f"{exc.message}\n{exc.hint}")
        yield made
