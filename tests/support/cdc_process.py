"""The command `cdc` as a user runs it: a process of its own, its standard error read as log lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from cdc_cli.demo.servers.process import ChildProcess, wait_until

ROOT = Path(__file__).resolve().parents[2]
LogLine = Mapping[str, Any]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The package of this checkout, and no settings that happen to stand in the developer's shell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CDC_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(extra or {})}


class Ended(NamedTuple):
    """A command that ran to its end."""

    code: int
    stdout: str
    stderr: str

    @property
    def sentences(self) -> list[str]:
        """What is said to people: the lines of standard error that are no log lines."""
        return [line for line in self.stderr.splitlines() if line and not line.startswith("{")]


def run_cdc(
    *args: str, folder: Path, env: Mapping[str, str] | None = None, timeout: float = 60.0
) -> Ended:
    """Run a command to its end; TimeoutExpired (and the process killed) when it takes longer."""
    command = [sys.executable, "-m", "cdc_cli", *args]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class CdcProcess:
    """`cdc watch`, `sync` or `run` in the background. Killed when this object's block ends."""

    def __init__(self, log: Path, *args: str, env: Mapping[str, str] | None = None) -> None:
        """Starts at once; output goes to the file `log`, which must not exist yet."""
        self.log = log
        self.args = args
        command = [sys.executable, "-m", "cdc_cli", *args]
        self._child = ChildProcess(command, log, environment(env))

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        return self._child.exit_code

    def text(self) -> str:
        """Everything that was written so far."""
        return self.log.read_text(errors="replace")

    def lines(self) -> list[LogLine]:
        """The log so far, line by line; what is not JSON (a line being written) is left out."""
        return [line for text in self.text().splitlines() if (line := _parse(text)) is not None]

    def logged(self, action: str, **fields: Any) -> list[LogLine]:
        """The lines with that `event.action`, and with those fields (`cdc__worker=1` for `cdc.worker`)."""
        wanted = {name.replace("__", "."): value for name, value in fields.items()}
        return [
            line
            for line in self.lines()
            if line["event.action"] == action and all(line.get(n) == v for n, v in wanted.items())
        ]

    def total(self, field: str, action: str = "batch.applied") -> int:
        """The sum of a field over the lines of that action."""
        return sum(int(line.get(field) or 0) for line in self.logged(action))

    def wait_for(self, action: str, timeout: float = 30.0, count: int = 1, **fields: Any) -> LogLine:
        """The `count`-th line of that action; fails with the end of the log when it does not come."""
        self.wait_until(lambda: len(self.logged(action, **fields)) >= count, f"{action} x {count}", timeout)
        return self.logged(action, **fields)[count - 1]

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        """Blocks until the condition holds; fails when the process ends before or the time is up."""
        wait_until(lambda: condition() or self.exit_code is not None, timeout)
        assert condition(), f"{self} did not get to: {what} (exit code {self.exit_code})\n{self.tail()}"

    def send(self, number: int) -> None:
        if self.exit_code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._child.kill()

    def wait(self, timeout: float = 30.0) -> int:
        """The exit code; fails with the end of the log when it runs on."""
        assert wait_until(lambda: self.exit_code is not None, timeout), (
            f"{self} did not end in {timeout} s\n{self.tail()}"
        )
        code = self.exit_code
        assert code is not None
        return code

    def stop(self, number: int = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Ask it to drain; its exit code."""
        self.send(number)
        return self.wait(timeout)

    def tail(self, count: int = 30) -> str:
        """The end of the log, for messages."""
        return "\n".join(line[:600] for line in self.text().splitlines()[-count:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.send(signal.SIGCONT)
        self.kill()

    def __str__(self) -> str:
        return f"cdc {' '.join(self.args)} (pid {self.pid})"


def _parse(text: str) -> LogLine | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "event.action" in line else None


def find(lines: Sequence[LogLine], action: str) -> list[LogLine]:
    """Those lines of a log with that action."""
    return [line for line in lines if line["event.action"] == action]
