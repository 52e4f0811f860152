"""The pipeline's processes, started again when they end, as an init system would, and measured while they run."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cdc_cli.demo.servers.process import free_port
from tests.faults.longrun.signs import Probed
from tests.faults.longrun.site import DRAIN_SECONDS
from tests.support.cdc_process import ROOT, CdcProcess, Ended, run_cdc
from tests.support.pipeline import Pipeline

NAMES = ("watch 1", "watch 2", "sync 1", "sync 2")
EXPECTED_EXITS = frozenset({0, 69, 75, -signal.SIGKILL})
"""Done, a server could not be reached at the start, another watcher leads, killed by us."""
ENOUGH = 4
"""Unexpected ends after which there is no point in going on."""
_AGAIN_AFTER = 0.5
_STACKS = Path(__file__).with_name("stacks")


class Fleet:
    """Two watchers with --standby and two syncs, and who joins them for a while; thread-safe."""

    def __init__(self, pipeline: Pipeline, leader_pid: Callable[[], int | None]) -> None:
        self._pipeline = pipeline
        self._leader_pid = leader_pid
        self._processes: dict[str, CdcProcess] = {}
        self._ended: dict[str, float] = {}
        self._held: set[str] = set()
        self._lock = threading.RLock()
        self.exits: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.kills = 0
        self.sigterm_seconds: list[float] = []
        self.peaks: dict[str, dict[str, int]] = {"watch": {}, "sync": {}}
        self._logs: dict[Path, str] = {}
        self._ports: dict[str, int] = {}

    @property
    def processes(self) -> dict[str, CdcProcess]:
        with self._lock:
            return dict(self._processes)

    @property
    def probed(self) -> dict[str, Probed]:
        """The processes with the ports of their pages."""
        with self._lock:
            return {name: Probed(process, self._ports[name]) for name, process in self._processes.items()}

    @property
    def logs(self) -> dict[Path, str]:
        """Every log so far, and whose it is."""
        with self._lock:
            return dict(self._logs)

    def start(self, name: str, ready: bool = False, tended: bool = True) -> CdcProcess:
        """Unless it is running. What is not `tended` is not started again when it ends."""
        with self._lock:
            running = self._processes.get(name)
            if running is not None and running.exit_code is None:
                return running
            command = name.split()[0]
            args = ("--standby",) if command == "watch" else ()
            env = {"PYTHONPATH": f"{ROOT}:{_STACKS}"}
            port = self._ports.setdefault(name, free_port())
            changes = {"http.enabled": True, "http.bind": f"127.0.0.1:{port}"}
            process = self._pipeline.start(command, *args, ready=ready, env=env, changes=changes)
            self._processes[name] = process
            (self._held.discard if tended else self._held.add)(name)
            self._ended.pop(name, None)
            self._logs[process.log] = name
            return process

    def run(self, *args: str, timeout: float = 60.0) -> Ended:
        """A command of an operator, to its end."""
        with self._lock:
            config = self._pipeline.write_config()
        return run_cdc(*args, "-c", str(config), folder=self._pipeline.folder, timeout=timeout)

    def dismiss(self, name: str) -> None:
        """It has ended, and is not one of us any more."""
        with self._lock:
            self._processes.pop(name, None)
            self._held.discard(name)

    def leader(self) -> str:
        """The watcher that leads; one of them when the lease is nobody's."""
        pid = self._leader_pid()
        return next((name for name, process in self.processes.items() if process.pid == pid), "watch 1")

    def kill(self, name: str) -> None:
        """SIGKILL; it stays down until `start`."""
        with self._lock:
            self._held.add(name)
            process = self._processes.get(name)
        if process is not None and process.exit_code is None:
            process.kill()
            self.kills += 1

    def stop(self, name: str, seconds: float) -> None:
        """SIGSTOP for a while."""
        process = self.processes.get(name)
        if process is None:
            return
        process.send(signal.SIGSTOP)
        time.sleep(seconds)
        process.send(signal.SIGCONT)

    def terminate(self, name: str) -> float:
        """SIGTERM; how long it took. It stays down until `start`."""
        with self._lock:
            self._held.add(name)
            process = self._processes.get(name)
        if process is None or process.exit_code is not None:
            return 0.0
        began = time.monotonic()
        code = process.stop(timeout=DRAIN_SECONDS + 15)
        took = time.monotonic() - began
        self.sigterm_seconds.append(took)
        self.exits[f"{name.split()[0]} {code}"] += 1
        if took > DRAIN_SECONDS + 2.5 or code not in EXPECTED_EXITS:
            self.unexpected.append(f"{process}: SIGTERM took {took:.1f} s, exit code {code}")
        return took

    def tend(self) -> None:
        """Start again what ended by itself. AssertionError when processes end unexpectedly again and again."""
        assert len(self.unexpected) < ENOUGH, "the processes do not run: see the last of their logs"
        with self._lock:
            for name, process in list(self._processes.items()):
                code = process.exit_code
                if code is None or name in self._held:
                    continue
                if name not in self._ended:
                    self._ended[name] = time.monotonic()
                    self.exits[f"{name.split()[0]} {code}"] += 1
                    if code not in EXPECTED_EXITS:
                        self.unexpected.append(f"{process} ended with {code}:\n{process.tail(12)}")
                elif time.monotonic() - self._ended[name] > _AGAIN_AFTER:
                    self.start(name)

    def measure(self) -> None:
        """Memory, threads and descriptors of each process, for the peaks."""
        for name, process in self.processes.items():
            peaks = self.peaks[name.split()[0]]
            for what, amount in resources(process.pid).items():
                peaks[what] = max(peaks.get(what, 0), amount)

    def dump_stacks(self) -> None:
        """Where every thread of every process stands, into their logs."""
        for process in self.processes.values():
            process.send(signal.SIGUSR1)
        time.sleep(1.0)

    def close(self) -> list[tuple[str, int, float]]:
        """SIGTERM to all; name, exit code and seconds of each."""
        found = []
        with self._lock:
            self._held.update(self._processes)
        for name, process in self.processes.items():
            if process.exit_code is None:
                began = time.monotonic()
                code = process.stop(timeout=DRAIN_SECONDS + 15)
                found.append((name, code, time.monotonic() - began))
        return found


def resources(pid: int) -> dict[str, int]:
    """What a process uses now: `rss` in KiB, `threads`, `fds`; nothing when it is gone."""
    found: dict[str, int] = {}
    with suppress(OSError, ValueError, KeyError):
        fields: dict[str, Any] = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        found["fds"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        found["rss"] = int(fields["VmRSS"].split()[0])
        found["threads"] = int(fields["Threads"])
    return found if len(found) == 3 else {}
