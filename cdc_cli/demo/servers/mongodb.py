"""MongoDB: a real mongod, a replica set of one member by default, because change streams need an oplog."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from cdc_cli.demo.servers.base import EmbeddedServer, ServerError, packaged
from cdc_cli.demo.servers.process import LOCALHOST, listens

if TYPE_CHECKING:
    from pymongo import MongoClient

_SET_NAME = "rs0"
_UNAUTHORIZED = 13
_ALREADY_INITIALIZED = 23
_USER_EXISTS = 51003
_DEFAULTS: Mapping[str, str] = {
    "diagnosticDataCollectionEnabled": "false",
    "shutdownTimeoutMillisForSignaledShutdown": "100",
}


class EmbeddedMongo(EmbeddedServer):
    """A mongod whose data survives `kill()`; after `start()` its member is primary and writable.

    `parameters` are server parameters (`enableTestCommands`). With `password` set, access control is on and
    `user` (root) is created on the first start; `uri` then carries both.
    """

    name: ClassVar[str] = "mongodb"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        replica_set: bool = True,
        oplog_mb: int = 128,
        cache_gb: float = 0.25,
        journal_ms: int = 5,
        user: str = "root",
        password: str = "",
        parameters: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        """`journal_ms` (1..500) bounds how long a majority write waits for the journal."""
        super().__init__(folder, port, keep=keep)
        self.replica_set = _SET_NAME if replica_set else ""
        self.oplog_mb = oplog_mb
        self.cache_gb = cache_gb
        self.journal_ms = journal_ms
        self.user = user
        self.password = password
        self.parameters = {**_DEFAULTS, **(parameters or {})}

    @property
    def uri(self) -> str:
        """With the replica set's name, so that the driver discovers and follows the primary."""
        return self._uri(f"replicaSet={self.replica_set}" if self.replica_set else "directConnection=true")

    def direct_uri(self, port: int | None = None) -> str:
        """Without discovery: talks to this one address, or to a proxy on `port`."""
        return self._uri("directConnection=true", port)

    def _uri(self, option: str, port: int | None = None) -> str:
        secret, source = "", ""
        if self.password:
            secret = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"
            source = "&authSource=admin"
        return f"mongodb://{secret}{LOCALHOST}:{port or self.port}/?{option}{source}"

    def _prepare(self) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        command = [str(_binary()), f"--dbpath={data}", f"--port={self.port}", f"--bind_ip={LOCALHOST}"]
        command += ["--nounixsocket", f"--wiredTigerCacheSizeGB={self.cache_gb}"]
        command.append(f"--journalCommitInterval={self.journal_ms}")
        if self.replica_set:
            command += [f"--replSet={self.replica_set}", f"--oplogSize={self.oplog_mb}"]
        if self.password:
            command.append("--auth")
        if self.password and self.replica_set:
            command.append(f"--keyFile={self._key_file()}")
        for key, value in self.parameters.items():
            command += ["--setParameter", f"{key}={value}"]
        return command

    def _key_file(self) -> Path:
        """Members of a set know each other by a shared key; ours is alone: its password is secret enough."""
        path = self.folder / "mongodb.key"
        path.touch(mode=0o600)
        path.write_text(base64.b64encode(hashlib.sha512(self.password.encode()).digest()).decode())
        return path

    def _answers(self) -> bool:
        return listens(self.port)

    def _finish(self) -> None:
        from pymongo import MongoClient

        options: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 20_000}
        with MongoClient[dict[str, Any]](LOCALHOST, self.port, **options) as client:
            if self.replica_set:
                self._initiate(client)
                self._await(lambda: bool(client.admin.command("hello")["isWritablePrimary"]))
            if self.password:
                self._create_user(client)

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> None:
        config = {"_id": self.replica_set, "members": [{"_id": 0, "host": self.address}]}
        self._unless(
            {_ALREADY_INITIALIZED, _UNAUTHORIZED}, lambda: client.admin.command("replSetInitiate", config)
        )

    def _create_user(self, client: MongoClient[dict[str, Any]]) -> None:
        self._unless(
            {_UNAUTHORIZED, _USER_EXISTS},
            lambda: client.admin.command("createUser", self.user, pwd=self.password, roles=["root"]),
        )

    def _unless(self, done: set[int], command: Callable[[], object]) -> None:
        """Runs a command whose error codes in `done` mean that an earlier start has done it already."""
        from pymongo.errors import OperationFailure

        try:
            command()
        except OperationFailure as exc:
            if exc.code not in done:
                raise self._failure(f"refused its configuration: {exc}") from exc


def _binary() -> Path:
    try:
        return packaged("fiftyone", "db/bin/mongod", server="MongoDB")
    except ServerError:
        if found := shutil.which("mongod"):
            return Path(found)
        raise
