"""Servers that `cdc demo --keep` has left running, and how `cdc demo --stop FOLDER` ends them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from cdc_cli.demo.servers import EmbeddedServer
from cdc_cli.demo.servers.process import wait_until
from cdc_cli.errors import ConfigError

_RECORD = "demo.json"
_GRACE = 10.0


def record(folder: Path, servers: Sequence[EmbeddedServer]) -> None:
    """Write down which processes there are. A process id alone is not enough: it is given to others later."""
    entries = [
        {"name": server.name, "pid": server.pid, "started": _started(server.pid), "signal": int(server.stop_signal)}
        for server in servers
        if server.pid is not None
    ]
    (folder / _RECORD).write_text(json.dumps({"servers": entries}, indent=1), encoding="utf-8")


def stop(folder: Path) -> list[str]:
    """End the servers of that folder and remove it; the names of those that were still running.

    Blocks up to ten seconds a server. Raises ConfigError when the folder is none of ours.
    """
    try:
        entries = json.loads((folder / _RECORD).read_text(encoding="utf-8"))["servers"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(
            f"cannot stop a demonstration in {folder}: there is no readable {_RECORD}",
            "give the folder that `cdc demo --keep` has printed",
            "demo.not_kept",
        ) from exc
    running = [entry for entry in entries if _is_same(entry)]
    for entry in running:
        os.kill(entry["pid"], entry["signal"])
    for entry in running:
        if not wait_until(lambda entry=entry: not _is_same(entry), _GRACE):  # type: ignore[misc]
            os.kill(entry["pid"], signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return [entry["name"] for entry in running]


def _is_same(entry: dict[str, object]) -> bool:
    started = _started(entry["pid"] if isinstance(entry["pid"], int) else None)
    return started is not None and started == entry["started"]


def _started(pid: int | None) -> int | None:
    """When the process was started, in the kernel's ticks since boot; None when it is gone (proc(5), stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
