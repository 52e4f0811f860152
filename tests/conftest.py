"""Fixtures for all tests; those with real servers are in tests/support/fixtures.py."""

import pytest

pytest_plugins = ["tests.support.fixtures", "tests.support.pipeline"]


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but not those that kafka-python makes when it reads its schemas at import."""
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
