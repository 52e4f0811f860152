"""Fixtures for all tests; those with real servers are in tests/support/fixtures.py."""

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.fixtures", "tests.support.pipeline"]


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but not those that kafka-python makes when it reads its schemas at import. No example is
    timed: a busy machine is no failure.
    """
    settings.register_profile("untimed", settings(), deadline=None)
    settings.load_profile("untimed")
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
