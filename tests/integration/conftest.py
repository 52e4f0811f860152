"""Fixtures that several files here share; a file that needs it otherwise has its own of the same name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.writers import Site


@pytest.fixture
def site(postgres_dsn: str) -> Iterator[Site]:
    """Writers on an empty database; the partitions of `writers.PARTITIONS` are claimed."""
    site = Site(postgres_dsn)
    site.claim()
    yield site
    site.close()
