"""Ports, child processes that never outlive us, and waiting with a deadline. POSIX only."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOCALHOST = "127.0.0.1"
_POLL_SECONDS = 0.01
_PORTS = range(15_000, 32_000)
_handed_out: set[int] = set()

_GUARD = 'read _; kill -s KILL -- "-$0" 2>/dev/null'


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on and that this process has not handed out before.

    Taken from below the kernel's ephemeral range, so that no outgoing connection grabs it between two starts
    of a server that must come back on the same port.
    """
    for port in random.sample(_PORTS, k=500):
        if port not in _handed_out and _can_bind(port):
            _handed_out.add(port)
            return port
    raise OSError(f"no free port on {LOCALHOST} in {_PORTS.start}-{_PORTS.stop}")


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Blocks until `condition()` holds or `timeout` seconds have passed; says which."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def exchange(port: int, request: bytes, timeout: float = 0.5) -> bytes:
    """What a server on `port` answers first to `request` (up to 4 KiB); empty when it does not answer."""
    try:
        with socket.create_connection((LOCALHOST, port), timeout) as connection:
            connection.sendall(request)
            return connection.recv(4096)
    except OSError:
        return b""


def listens(port: int) -> bool:
    """Whether somebody accepts TCP connections on `port`."""
    try:
        with socket.create_connection((LOCALHOST, port), 0.5):
            return True
    except OSError:
        return False


class ChildProcess:
    """A server in a session of its own, so that Ctrl-C in the terminal does not reach it before we stop it.

    When this process ends, however it ends, a guard kills the server. The guard is a small shell that waits
    on a pipe which only we hold open. PR_SET_PDEATHSIG would fire when the *thread* that started the server
    ends, and is cleared when the server changes its user; the pipe has neither fault. `keep=True` sets no
    guard: the server goes on until somebody stops it.
    """

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, keep: bool = False
    ) -> None:
        """Starts `command` at once; its output is appended to `log`. Raises OSError when it cannot be run."""
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=log.parent,
                start_new_session=True,
            )
        self._guard = None if keep else _start_guard(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id; it stays readable after the end."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        if self._process.poll() is not None:
            self._disarm()
        return self._process.returncode

    def terminate(self, signum: int, grace: float) -> None:
        """Asks with `signum`, waits up to `grace` seconds, then kills. Blocks until the process is gone."""
        if self.exit_code is None:
            self._process.send_signal(signum)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        self._disarm()

    def kill(self) -> None:
        """SIGKILL to the process and all its descendants, as when the power fails; waits for the end."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGSTOP)
            family = [self.pid, *descendants(self.pid)]
            for pid in family:
                _kill(pid)
            self._process.wait()
            wait_until(lambda: not any(map(_exists, family[1:])), timeout=5.0)
        self._disarm()

    def _disarm(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            guard.kill()
            guard.wait()
            guard.stdin.close()


def descendants(pid: int) -> list[int]:
    """Children of `pid`, their children and so on, in whatever process group (empty without /proc)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found = list(children.get(pid, ()))
    for child in found:
        found.extend(children.get(child, ()))
    return found


def _start_guard(process_group: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, str(process_group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
