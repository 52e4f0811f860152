"""The right to write a token file: flock on a file beside it, which the kernel frees when its holder dies.

The lock file also names its holder, for messages, and carries a random number that is checked before every
write: an operator who takes the right by force replaces it, and so does somebody who deletes the file.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cdc_cli.checkpoint import Writer, holder
from cdc_cli.checkpoint.disk import check_safe, make_folder, write_all
from cdc_cli.errors import TryLater
from cdc_cli.retry import Stopped

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 10
_UNKNOWN = Writer("an unknown host", 0, "unknown")


class FileLock:
    """One lock file. Not thread-safe; the store that owns it sees to that. All methods may raise OSError."""

    def __init__(self, path: Path, version: str, wait: Callable[[float], bool]) -> None:
        self.path = path
        self._version = version
        self._wait = wait
        self._fd = -1
        self._content = b""

    def acquire(self, force: bool) -> None:
        """Take the lock; raises TryLater naming the holder. With `force`, write over his name without it."""
        if self._fd >= 0:
            return
        make_folder(self.path.parent)
        fd = os.open(self.path, _FLAGS, 0o600)
        try:
            check_safe(fd, self.path)
            if not self._lock(fd) and not force:
                raise TryLater(
                    f"another watcher is writing this token: {holder.name(_named(fd))} holds {self.path}",
                    "stop that one first; a standby started again later takes over at once",
                )
            self._sign(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def is_mine(self) -> bool:
        """Whether the lock file is still the one we locked and still names us."""
        if self._fd < 0:
            return False
        try:
            on_disk = self.path.lstat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._fd)
        same_file = (on_disk.st_dev, on_disk.st_ino) == (ours.st_dev, ours.st_ino)
        return same_file and _content(self._fd) == self._content

    def holder(self) -> Writer | None:
        """Who holds the lock now, None = nobody."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _named(fd) or _UNKNOWN
        else:
            return None
        finally:
            os.close(fd)

    def release(self) -> None:
        """Give the lock back. The file stays: without it two processes could lock two files of one name."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if _content(fd) == self._content:
                os.ftruncate(fd, 0)
        finally:
            os.close(fd)

    def _lock(self, fd: int) -> bool:
        """Tries for half a second: `holder()` of somebody who only looks is in the way for a moment."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._wait(0.05):
                    raise Stopped from None
            else:
                return True
        return False

    def _sign(self, fd: int) -> None:
        signature = {"nonce": secrets.token_hex(16), "holder": holder.this_process(self._version).to_json()}
        self._content = json.dumps(signature).encode()
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, self._content)


def _content(fd: int) -> bytes:
    return os.pread(fd, 65_536, 0)


def _named(fd: int) -> Writer | None:
    try:
        who = holder.parse(json.loads(_content(fd))["holder"])
    except (ValueError, KeyError, TypeError):
        return None
    return who.writer if who else None
