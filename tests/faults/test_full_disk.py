"""The disk of the token file is full: events go on, the token waits with its old content, and catches up."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root can mount one."""
    folder = tmp_path / "small"
    folder.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError as exc:
            assert exc.errno == errno.ENOSPC
    return filler


@pytest.mark.requirement("R2.3", "R2.4", "R12.5")
def test_a_full_disk_delays_the_token_and_nothing_else(pipeline: Pipeline, small_disk: Path) -> None:
    pipeline.set("token_store.file.path", str(small_disk / "token.json"))
    players = pipeline.database["players"]
    watch, sync = pipeline.watch(), pipeline.sync()
    players.insert_one({"_id": 1})
    pipeline.wait_in_sync(watch, sync)
    pipeline.wait_until(lambda: pipeline.token() is not None, "a token")
    filler = fill(small_disk)
    before = pipeline.token()

    players.insert_many([{"_id": number} for number in range(2, 200)])
    watch.wait_until(lambda: "token.no_space" in watch.text(), "the full disk is told")
    pipeline.wait_in_sync(watch, sync)
    now = pipeline.token()
    assert now is not None
    assert before is not None
    assert now["position"] <= pipeline.query("SELECT max(cdc_position) FROM public.players")[0][0]

    watch.kill()
    filler.unlink()
    watch = pipeline.watch()
    players.insert_one({"_id": 200})
    pipeline.wait_in_sync(watch, sync)
    last = pipeline.query("SELECT max(cdc_position) FROM public.players")[0][0]
    pipeline.wait_until(lambda: (pipeline.token() or {}).get("position") == last, "the token has caught up")
    assert watch.stop() == 0
