"""When a queue counts as growing."""

from __future__ import annotations

import pytest

from cdc_cli.bench.latency import is_growing


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.3] * 100, False),
        ([0.01 * n for n in range(400)], True),
        ([0.001 * n for n in range(400)], False),
        ([5.0] * 100, False),
        ([1.0, 2.0], False),
        ([], False),
    ],
)
def test_a_queue_grows_when_the_last_ones_took_long_and_much_longer_than_the_first(
    times: list[float], expected: bool
) -> None:
    assert is_growing(times) is expected
