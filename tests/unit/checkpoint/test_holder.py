"""A holder is dead only when that is certain."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from cdc_cli.checkpoint import Writer
from cdc_cli.checkpoint.holder import Holder, parse, this_process


def test_this_process_is_alive_and_survives_its_text() -> None:
    me = this_process("0.1.0")
    assert not me.is_dead()
    assert parse(me.to_json()) == me


def test_a_process_that_ended_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    me = this_process("0.1.0")
    assert replace(me, writer=replace(me.writer, pid=process.pid)).is_dead()


def test_a_pid_that_was_given_to_another_process_is_not_the_holder() -> None:
    assert replace(this_process("0.1.0"), started="1").is_dead()


@pytest.mark.parametrize("machine", ["", "another boot/pid:[1]"])
def test_nobody_is_dead_on_a_machine_that_is_not_this_one(machine: str) -> None:
    assert not Holder(Writer("pod-0", 1, "0.1.0"), machine, "1").is_dead()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"writer": 1}', "x"])
def test_another_text_is_no_holder(text: str) -> None:
    assert parse(text) is None
