"""Durable, private files: temp beside the target, fsync, rename, fsync of the folder.

The order follows "All File Systems Are Not Created Equal" (OSDI 2014): after a crash at any point the old
content or the new one is there, never a mixture and never nothing.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from cdc_cli import failpoints
from cdc_cli.errors import CdcError, ConfigError, Denied, Fatal, Retryable

MAX_BYTES = 64 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def make_folder(folder: Path) -> None:
    """Create what is missing of the path, for this user only (0700)."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def read_private(path: Path) -> bytes | None:
    """The whole content, None when there is no such file. Raises OSError; ConfigError for an unsafe file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        check_safe(fd, path)
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read(MAX_BYTES)
    finally:
        os.close(fd)


def check_safe(fd: int, path: Path) -> None:
    """Refuse what is not a plain file of this user: somebody else could have put a position there."""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise ConfigError(
            f"{path} is not a regular file", "set token_store.file.path to a file", "token.unsafe_file"
        )
    if info.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} belongs to user {info.st_uid}, this process runs as user {os.geteuid()}",
            "run cdc as the owner of the file, or change the owner after having checked the content",
            "token.unsafe_file",
        )


def write_durably(path: Path, data: bytes, keep: Path | None = None) -> None:
    """Replace `path` with `data` (mode 0600); the old content stays at `keep`, in the same folder, if given.

    Blocks for two or three fsyncs (about a millisecond on a local disk). Raises OSError, after which the old
    content is untouched and the temp file is gone. A failed fsync is not repeated on the same descriptor:
    the kernel may have dropped the pages.
    """
    temp = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        _write_new(temp, data)
        failpoints.hit("token_file.after_fsync")
        if keep is not None:
            _link_over(path, keep)
            failpoints.hit("token_file.after_keep")
        temp.rename(path)
        failpoints.hit("token_file.after_rename")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    failpoints.hit("token_file.after_sync_folder")


def remove_durably(*paths: Path) -> None:
    """Delete what exists of `paths` (one folder), and make that last."""
    for path in paths:
        path.unlink(missing_ok=True)
    sync_folder(paths[0].parent)


def remove_leftovers(path: Path) -> None:
    """Delete temp files that a killed process left beside `path`; the caller holds the lock."""
    for temp in path.parent.glob(f".{path.name}.*.tmp"):
        temp.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in the folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """os.write may write less than asked, near a limit: go on until all of it is written or it raises."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def translated(exc: OSError, attempt: str) -> CdcError:
    """The error for the caller: `attempt` says what was tried, with the path."""
    text = f"{attempt}: {exc.strerror or exc}"
    if exc.errno in _NO_SPACE:
        return Retryable(text, "make room on that disk; the former token is untouched", "token.no_space")
    if exc.errno in _REFUSED:
        return Denied(text, "let the user that runs cdc read and write that folder", "token.no_right")
    if exc.errno == errno.ELOOP:
        return ConfigError(text, "it is a symbolic link: name the real file", "token.unsafe_file")
    if exc.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG):
        return ConfigError(text, "correct token_store.file.path", "token.bad_path")
    if exc.errno == errno.EIO:
        return Fatal(text, "the disk is failing: move the token to another one", "token.disk_failing")
    return Retryable(text, "", "token.unavailable")


def _write_new(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        write_all(fd, data)
        failpoints.hit("token_file.after_write")
        os.fsync(fd)
    finally:
        os.close(fd)


def _link_over(source: Path, target: Path) -> None:
    """Make `target` the same file as `source` without a moment in which either is missing."""
    temp = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        os.link(source, temp, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        _write_new(temp, source.read_bytes())
    temp.rename(target)
    # rename() does nothing when both are already the same file, as after a crash right behind this line
    temp.unlink(missing_ok=True)
