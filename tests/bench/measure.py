"""What a measured process prints at its end, and how its parent reads it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """One run: `cpu_us` is the process's CPU time per event in microseconds, `peak_mb` its peak resident memory."""

    events: int
    seconds: float
    cpu_us: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


class Meter:
    """Measures between `start` and `stop`; started at the first event, so that connecting does not count."""

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, events: int) -> None:
        """Print the result as the last line of stdout."""
        seconds, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(asdict(Result(events, seconds, cpu / events * 1e6, peak))), flush=True)


def run_child(module: str, arguments: dict[str, Any], timeout: float = 900) -> Result:
    """Run `python -m tests.bench.<module>` with JSON arguments; raises when it fails."""
    command = [sys.executable, "-W", "ignore", "-m", f"tests.bench.{module}", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=os.environ, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-3000:]}")
    return Result(**json.loads(done.stdout.strip().splitlines()[-1]))
