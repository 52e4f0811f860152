"""Token records for tests."""

from __future__ import annotations

from typing import Any

from cdc_cli.checkpoint import TokenRecord, Writer
from cdc_cli.events import Mark, Position

BASE = 1_764_046_833


def token_at(seconds: int, increment: int = 1) -> dict[str, str]:
    """A token shaped like the server's, of that cluster time."""
    return {"_data": f"82{seconds:08X}{increment:08X}2B0229296E04"}


def mark(n: int = 0, **fields: Any) -> Mark:
    """The mark of the event `n` seconds after a fixed time."""
    given: dict[str, Any] = {
        "token": token_at(BASE + n),
        "position": Position(BASE + n, 1, 0),
        "cluster_time": (BASE + n, 1),
        "is_event": True,
    }
    return Mark(**(given | fields))


def record(n: int = 0, **fields: Any) -> TokenRecord:
    """The record that a watcher would save for `mark(n)`."""
    given: dict[str, Any] = {
        "mark": mark(n),
        "stream": "database game",
        "fingerprint": "0123456789abcdef",
        "replica_set": "rs0",
        "cluster_id": "65a000000000000000000001",
        "saved_at": float(BASE + n) + 0.25,
        "writer": Writer("pod-0", 4711, "0.1.0"),
    }
    return TokenRecord(**(given | fields))
