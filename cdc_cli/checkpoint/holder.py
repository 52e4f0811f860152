"""Who holds the right to write a token, told precisely enough to see that a process is dead."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from cdc_cli.checkpoint import Writer


@dataclass(frozen=True, slots=True)
class Holder:
    """A writer, the machine (and container) that its pid is counted in, and when that process started.

    `machine` is empty where the system does not tell; then nobody is ever taken for dead.
    """

    writer: Writer
    machine: str
    started: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    def is_dead(self) -> bool:
        """True only when it is certain: same machine and pid namespace, and no such process any more."""
        if not self.machine or self.machine != _machine():
            return False
        return _started(self.writer.pid) != self.started


def this_process(version: str) -> Holder:
    """This process as a holder."""
    writer = Writer(socket.gethostname(), os.getpid(), version)
    return Holder(writer, _machine(), _started(writer.pid))


def parse(text: str) -> Holder | None:
    """The inverse of `to_json`, None for anything else."""
    try:
        fields = json.loads(text)
        writer = fields["writer"]
        who = Writer(str(writer["host"]), int(writer["pid"]), str(writer["version"]))
        return Holder(who, str(fields["machine"]), str(fields["started"]))
    except (ValueError, KeyError, TypeError):
        return None


def name(writer: Writer | None) -> str:
    """For messages: `pid 4711 on pod-0 (cdc 0.1.0)`."""
    if writer is None:
        return "another process"
    return f"pid {writer.pid} on {writer.host} (cdc {writer.version})"


def _machine() -> str:
    """This boot of this machine, and the pid namespace, which differs between containers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty when there is none (or only a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
