"""Fixtures for all tests; those with real servers are in tests/support/fixtures.py."""

from collections.abc import Generator

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has logged travels as UTF-8 when several processes share the tests; some of it is none on purpose."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
