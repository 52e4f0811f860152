"""The file store where it is a file: crashes, full disks, other users, links, two processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_cli.checkpoint.disk import translated, write_all, write_durably
from cdc_cli.checkpoint.file import PREVIOUS, FileTokenStore
from cdc_cli.checkpoint.record import encode
from cdc_cli.errors import ConfigError, Denied, ExitCode, Fatal, PositionLost, Retryable, TryLater
from tests.support.tokens import record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "token.json"


@pytest.fixture
def store(path: Path) -> Iterator[FileTokenStore]:
    made = _store(path)
    made.acquire()
    yield made
    made.release()


def _store(path: Path, history: int = 5) -> FileTokenStore:
    return FileTokenStore(path, history, "0.1.0", lambda seconds: False)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_files_are_private_whatever_the_umask(path: Path) -> None:
    former = os.umask(0)
    try:
        store = _store(path)
        store.acquire()
        store.save(record(1))
        store.remember(record(1))
    finally:
        os.umask(former)
    assert _mode(path.parent) == 0o700
    assert {file.name: _mode(file) for file in path.parent.iterdir()} == {
        f"token.json{suffix}": 0o600 for suffix in ("", ".prev", ".history", ".lock")
    }
    store.release()


def test_the_former_token_stays_as_number_zero_of_the_history(store: FileTokenStore) -> None:
    store.save(record(1))
    store.save(record(2))
    assert [(e.number, e.record) for e in store.history()] == [(PREVIOUS, record(1))]


def test_a_damaged_token_names_the_former_one_as_the_way_out(store: FileTokenStore, path: Path) -> None:
    store.save(record(1))
    store.save(record(2))
    path.write_bytes(encode(record(2))[:100])
    with pytest.raises(PositionLost) as caught:
        store.load()
    assert "cdc token restore 0" in caught.value.hint
    assert "token.json.prev" in caught.value.hint


def test_saving_over_a_damaged_token_keeps_the_former_one_and_the_damage(path: Path) -> None:
    store = _store(path)
    store.acquire()
    store.save(record(1))
    store.save(record(2))
    store.release()
    path.write_bytes(b"torn")
    store.acquire()
    store.save(record(9, reason="reset"))
    assert path.with_name("token.json.damaged").read_bytes() == b"torn"
    assert [entry.record for entry in store.history()] == [record(1)]
    store.release()


def test_a_token_deleted_by_hand_after_one_save_is_noticed(store: FileTokenStore, path: Path) -> None:
    store.save(record(1))
    path.unlink()
    with pytest.raises(PositionLost, match="is gone"):
        store.load()


def test_no_temp_file_is_left_and_those_of_a_killed_process_are_removed(path: Path) -> None:
    path.parent.mkdir(parents=True)
    leftover = path.with_name(".token.json.0123456789ab.tmp")
    leftover.write_bytes(b"half a tok")
    store = _store(path)
    store.acquire()
    for n in range(3):
        store.save(record(n))
    assert [file.name for file in path.parent.iterdir() if file.name.endswith(".tmp")] == []
    store.release()


def test_a_crash_behind_the_link_of_the_former_token_does_no_harm(store: FileTokenStore, path: Path) -> None:
    store.save(record(1))
    store.save(record(2))
    previous = path.with_name("token.json.prev")
    previous.unlink()
    previous.hardlink_to(path)
    store.save(record(3))
    assert (store.load(), store.history()[0].record) == (record(3), record(2))
    assert not list(path.parent.glob(".*.tmp"))


def test_a_symbolic_link_is_refused_and_its_target_untouched(tmp_path: Path, path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(encode(record(1)))
    path.parent.mkdir()
    path.symlink_to(victim)
    store = _store(path)
    for attempt in (store.load, store.acquire):
        with pytest.raises(ConfigError, match=r"token\.json"):
            attempt()
    assert victim.read_bytes() == encode(record(1))


def test_a_lock_that_is_a_symbolic_link_is_refused(tmp_path: Path, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("token.json.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(ConfigError):
        _store(path).acquire()
    assert not (tmp_path / "victim").exists()


def test_a_folder_in_the_place_of_the_token_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="not a regular file"):
        _store(path).load()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(encode(record(1)))
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        _store(path).load()


def test_a_token_that_others_can_read_is_a_warning(store: FileTokenStore, path: Path) -> None:
    store.save(record(1))
    assert list(store.warnings()) == []
    path.chmod(0o644)
    assert [text for text in store.warnings() if "chmod 600" in text]


def test_a_damaged_line_of_the_history_does_not_hide_the_others(store: FileTokenStore, path: Path) -> None:
    for n in range(3):
        store.remember(record(n))
    file = path.with_name("token.json.history")
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([lines[0], b"2 {torn", lines[2]]))
    assert [entry.number for entry in store.history()] == [3, 1]
    assert store.remember(record(4)) == 4


def test_a_deleted_lock_file_ends_the_right_to_write(store: FileTokenStore, path: Path) -> None:
    path.with_name("token.json.lock").unlink()
    with pytest.raises(TryLater):
        store.save(record(1))
    assert not path.exists()


def test_a_short_write_is_gone_on_with(tmp_path: Path) -> None:
    """A pipe takes less than asked when it is full, as a disk does near a limit."""
    reader, writer = os.pipe()
    data = os.urandom(1 << 20)
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        received = b""
        while piece := os.read(reader, 70_000):
            received += piece
        os._exit(0 if received == data else 1)
    os.close(reader)
    write_all(writer, data)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        ("ENOSPC", Retryable, ExitCode.UNREACHABLE),
        ("EDQUOT", Retryable, ExitCode.UNREACHABLE),
        ("EACCES", Denied, ExitCode.DENIED),
        ("EROFS", Denied, ExitCode.DENIED),
        ("ELOOP", ConfigError, ExitCode.CONFIG),
        ("EIO", Fatal, ExitCode.BUG),
        ("ESTALE", Retryable, ExitCode.UNREACHABLE),
    ],
)
def test_what_the_disk_says_decides_what_the_caller_does(number: str, kind: type, code: ExitCode) -> None:
    import errno

    error = translated(OSError(getattr(errno, number), "said the disk"), "cannot save")
    assert type(error) is kind
    assert error.exit_code is code
    assert "said the disk" in error.message


def _run(code: str, *args: str) -> subprocess.Popen[str]:
    prelude = """
        import os, resource, signal, sys, time
        from pathlib import Path
        from cdc_cli.checkpoint.file import FileTokenStore
        from cdc_cli.errors import CdcError
        from tests.support.tokens import record
        path = Path(sys.argv[1])
        store = FileTokenStore(path, 5, "0.1.0", lambda s: False)
        store.acquire()
    """
    script = textwrap.dedent(prelude) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, *args]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def test_a_disk_without_room_keeps_the_former_token(path: Path) -> None:
    process = _run(
        """
        store.save(record(1))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        try:
            store.save(record(2))
        except CdcError as exc:
            print(type(exc).__name__, exc.code, flush=True)
        """,
        str(path),
    )
    said, _ = process.communicate(timeout=30)
    assert said.split() == ["Retryable", "token.no_space"]
    assert path.read_bytes() == encode(record(1))
    assert not list(path.parent.glob(".*.tmp"))


def test_the_second_watcher_is_refused_and_sigkill_frees_the_token_at_once(path: Path) -> None:
    process = _run("print('ready', flush=True); time.sleep(60)", str(path))
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        standby = _store(path)
        with pytest.raises(TryLater, match=f"pid {process.pid} on ") as caught:
            standby.acquire()
        assert caught.value.exit_code == 75
        holder = standby.holder()
        assert holder is not None and holder.pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        standby.acquire()
        standby.save(record(1))
        standby.release()
    finally:
        process.kill()
        process.communicate()


def test_sigkill_at_any_moment_leaves_a_whole_token_that_never_goes_back(path: Path) -> None:
    """Saves as fast as it can, says what is saved, and is killed: what is found is that or newer."""
    seen = -1
    for delay in (0.02, 0.05, 0.09, 0.14):
        process = _run(
            f"""
            n = {seen + 1}
            while True:
                store.save(record(n))
                print(n, flush=True)
                n += 1
            """,
            str(path),
        )
        try:
            assert process.stdout is not None
            said = int(process.stdout.readline())
            signal.sigtimedwait([], delay)
            process.send_signal(signal.SIGKILL)
            said = max([said, *(int(line) for line in process.stdout.read().splitlines()[:-1] if line)])
        finally:
            process.kill()
            process.communicate()
        loaded = _store(path).load()
        assert loaded is not None
        found = int(loaded.saved_at - record(0).saved_at)
        assert found >= said > seen
        seen = found


def test_a_failed_write_raises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_durably(target, b"x")
    assert list(tmp_path.iterdir()) == [target]
