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
    """One run: `cpu_us` is the process's CPU time per event in microseconds, `peak_mb` its peak resident memory,
    `began` the wall-clock time of the first event.
    """

    events: int
    seconds: float
    cpu_us: float
    peak_mb: float
    began: float = 0.0

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


class Meter:
    """Measures between `start` and `stop`; started at the first event, so that connecting does not count."""

    def start(self) -> None:
        self._wall, self._cpu, self._began = time.perf_counter(), time.process_time(), time.time()

    def stop(self, events: int) -> None:
        """Print the result as the last line of stdout."""
        seconds, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(asdict(Result(events, seconds, cpu / max(1, events) * 1e6, peak, self._began))), flush=True)


def together(results: list[Result]) -> Result:
    """Several processes that shared the work as one: from the first event of any to the last of all."""
    began = min(result.began for result in results)
    ended = max(result.began + result.seconds for result in results)
    events = sum(result.events for result in results)
    cpu = sum(result.cpu_us * result.events for result in results) / events
    return Result(events, ended - began, cpu, max(result.peak_mb for result in results), began)


def run_child(module: str, arguments: dict[str, Any], timeout: float = 900) -> Result:
    """Run `python -m tests.bench.<module>` with JSON arguments; raises when it fails."""
    command = [sys.executable, "-W", "ignore", "-m", f"tests.bench.{module}", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=os.environ, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-3000:]}")
    return Result(**json.loads(done.stdout.strip().splitlines()[-1]))
