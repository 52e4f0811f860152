"""`cdc watch` and `cdc sync` as the demonstration runs them: the real commands, each a process of its own.

So the figures are those of the program as it is used, not disturbed by the writers, which share no interpreter
with it; and the end is the real one too: a SIGTERM that drains.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import cdc_cli
from cdc_cli.demo.servers.base import last_lines
from cdc_cli.demo.servers.process import ChildProcess
from cdc_cli.errors import Fatal

_GRACE = 30.0
"""Seconds to drain, after which the process is killed: more than its own deadline of 25 s."""


class Service:
    """One of the two commands; its log, JSON lines, goes to `<command>.log` in `folder`."""

    def __init__(self, command: str, config: Path, folder: Path) -> None:
        self.command = command
        self.log = folder / f"{command}.log"
        self._config = config
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it; `is_ready` says when it works. It dies with this process, however that ends."""
        command = [sys.executable, "-m", "cdc_cli", self.command, "-c", str(self._config), "--log-format", "json"]
        unset = [part for name in os.environ if name.startswith("CDC_") for part in ("-u", name)]
        # The user's own CDC_ variables would win over the file, and lead to the user's own servers.
        prefix = ["env", *unset] if unset else []
        self._process = ChildProcess([*prefix, *command], self.log, _environment())

    @property
    def is_ready(self) -> bool:
        """Whether it has said in its log that it has started. Raises Fatal when it has ended."""
        self.check()
        return f'"{self.command}.started"'.encode() in self.log.read_bytes()

    def check(self) -> None:
        """Raises Fatal, with the end of the log, when the process is no longer there."""
        code = self._process.exit_code if self._process is not None else None
        if code is not None:
            tail = "".join(f"\n    {line}" for line in last_lines(self.log))
            raise Fatal(
                f"cdc {self.command} ended (exit code {code}) during the demonstration; the end of {self.log}:{tail}",
                "this is a bug in cdc, or this machine is short of memory: please report it with the log",
                "demo.service_ended",
            )

    def drain(self) -> int | None:
        """Ask it to drain and wait for its end; the exit code, 0 when it drained in time."""
        if self._process is None:
            return None
        self._process.terminate(signal.SIGTERM, _GRACE)
        return self._process.exit_code

    def kill(self) -> None:
        """End it at once; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()


def _environment() -> Mapping[str, str]:
    """A checkout that is not installed must be found from the folder of the log, too."""
    root = Path(cdc_cli.__file__).parents[1]
    if root.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))}
