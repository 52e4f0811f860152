"""Which deployment this is, so that a token of another one is refused."""

from __future__ import annotations

from typing import Any, NamedTuple

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from cdc_cli.capture.errors import translate
from cdc_cli.errors import ConfigError


class Identity(NamedTuple):
    """The replica set's name and the deployment's id; empty where MongoDB does not tell this user."""

    replica_set: str
    cluster_id: str


def identify(client: MongoClient[Any]) -> Identity:
    """Ask the deployment who it is. Raises ConfigError for a standalone server, Retryable, Denied."""
    try:
        hello = client.admin.command("hello")
    except Exception as exc:
        raise translate("connecting to MongoDB", exc) from exc
    if hello.get("msg") == "isdbgrid":
        return Identity("sharded", _ask(client, "config", {"find": "version", "limit": 1}))
    if "setName" not in hello:
        raise ConfigError(
            "this MongoDB is a standalone server, and change streams need a replica set",
            "start mongod with --replSet rs0 and run rs.initiate() once (one member is enough)",
            "mongodb.not_replicated",
        )
    return Identity(hello["setName"], _ask(client, "admin", {"replSetGetConfig": 1}))


def _ask(client: MongoClient[Any], database: str, command: dict[str, Any]) -> str:
    """The id, or nothing: the right to ask (clusterMonitor) is more than the watcher needs."""
    try:
        reply = client[database].command(command)
    except OperationFailure:
        return ""
    except Exception as exc:
        raise translate("asking MongoDB for its id", exc) from exc
    if "config" in reply:
        return str(reply["config"].get("settings", {}).get("replicaSetId", ""))
    batch = reply.get("cursor", {}).get("firstBatch", [])
    return str(batch[0].get("clusterId", "")) if batch else ""
