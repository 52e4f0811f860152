"""What is set for the process as a whole, looked at in one of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Threads that all allocate at the same time; how many heaps of glibc there were in the end.
_HEAPS = """
import ctypes, threading
from cdc_cli.workers.runtime import tune_interpreter
tune_interpreter()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
meeting = threading.Barrier(12)
def allocate():
    meeting.wait()
    libc.malloc(5000)
    meeting.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.fopen.restype, libc.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
out = libc.fopen(b"/dev/stdout", b"a")
libc.malloc_info(0, out)
libc.fclose(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
@pytest.mark.parametrize(("environment", "wanted"), [({}, 2), ({"MALLOC_ARENA_MAX": "3"}, 3)])
def test_threads_share_two_heaps_of_glibc_unless_the_environment_says_otherwise(
    environment: dict[str, str], wanted: int
) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _HEAPS], env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("<heap nr=") == wanted
