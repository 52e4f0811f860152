"""Signals, in real processes: what counts is when and how the process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdc_cli.errors import Terminated
from cdc_cli.workers.signals import stop_on_signals

PROGRAM = """
import ctypes, sys, threading, time
from cdc_cli.workers.signals import stop_on_signals

stop = threading.Event()

def drain():
    print("draining", flush=True)
    if "slow" in sys.argv:
        threading.Event().wait(60)

with stop_on_signals(stop):
    print("ready", flush=True)
    if "in-c" in sys.argv:
        libc = ctypes.CDLL(None)
        while True:                      # a driver that starts its blocking call again and again
            libc.sleep(60)
    elif "in-lock" in sys.argv:
        while not stop.is_set():
            with stop._cond:             # where Event.wait stands for a moment: `set` needs this lock
                time.sleep(0.2)
            time.sleep(0.01)
    else:
        stop.wait()
    drain()
print("ended", flush=True)
"""


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program, at the point where it waits for a signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.requirement("R9.1", "R9.2")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_drains_and_ends_with_zero(number: signal.Signals) -> None:
    with running() as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("draining\nended\n", "", 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_leaves_at_once(number: signal.Signals, code: int) -> None:
    with running("slow") as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.readline() == "draining\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("", code)
    assert f"second signal ({number.name})" in err


def test_the_second_signal_may_be_another_one() -> None:
    with running("slow") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "draining\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143


def test_the_second_signal_ends_a_process_whose_main_thread_never_leaves_c_code() -> None:
    with running("in-c") as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode in (130, 143)


def test_a_signal_while_the_main_thread_holds_the_lock_of_the_event_does_not_deadlock() -> None:
    with running("in-lock") as process:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("draining\nended\n", 0)


def test_former_handlers_are_back_afterwards() -> None:
    def mine(number: int, frame: object) -> None:
        pass

    former, interrupt = signal.signal(signal.SIGTERM, mine), signal.getsignal(signal.SIGINT)
    try:
        with stop_on_signals(threading.Event()):
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is interrupt
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGTERM, former)


@pytest.mark.parametrize(
    ("number", "code", "kind"), [(signal.SIGINT, 130, KeyboardInterrupt), (signal.SIGTERM, 143, Terminated)]
)
def test_a_command_that_ends_by_the_first_signal_knows_which_it_was(
    number: int, code: int, kind: type[KeyboardInterrupt]
) -> None:
    stop = threading.Event()
    with stop_on_signals(stop) as heard:
        os.kill(os.getpid(), number)
        assert stop.wait(30)
    assert heard.exit_code == code
    assert type(heard.interruption) is kind


def test_the_first_signal_sets_the_event_and_the_second_one_leaves_with_its_code() -> None:
    stop, left, codes = threading.Event(), threading.Event(), []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    with stop_on_signals(stop, leave):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(30)
        assert codes == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert left.wait(30)
    assert codes == [143]


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_no_thread_and_no_descriptor_is_left_behind() -> None:
    descriptors = open_descriptors()
    with stop_on_signals(threading.Event()):
        pass
    assert open_descriptors() == descriptors
    assert "cdc-signals" not in {thread.name for thread in threading.enumerate()}


def test_outside_the_main_thread_it_says_that_it_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def enter() -> None:
        with stop_on_signals(threading.Event()):
            pass

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(30)
    assert "not in the main thread" in caplog.text
