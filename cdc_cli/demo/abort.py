"""What the process does around a demonstration: silence for the drivers, and an end at once for the impatient."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from cdc_cli.demo.servers.process import descendants

_DRIVERS = ("kafka", "pymongo")


def abort(folder: Path, code: int) -> NoReturn:
    """Kill every process that was started, remove the folder and leave. Any thread may call it; nothing is drained."""
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)


@contextmanager
def quiet_drivers() -> Iterator[None]:
    """While inside, the drivers of this process log nothing: servers that end under them are part of the plan, their
    real failures come out as exceptions, and a line of log would tear the live view. The services log to files.
    """
    former = {name: logging.getLogger(name).level for name in _DRIVERS}
    for name in former:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in former.items():
            logging.getLogger(name).setLevel(level)
