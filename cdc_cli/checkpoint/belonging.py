"""Whether a stored token belongs to what is configured now, and what to say when it does not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cdc_cli.checkpoint import TokenRecord


@dataclass(frozen=True, slots=True)
class Belonging:
    """What is configured and connected now; an empty field is not known and matches everything."""

    stream: str
    fingerprint: str
    replica_set: str = ""
    cluster_id: str = ""


def mismatches(record: TokenRecord, now: Belonging, filters: str) -> dict[str, str]:
    """Explanations by kind, worst first; `filters` describes the configured filter in words.

    `deployment` and `stream`: resuming would skip changes. `fingerprint` alone: only the filter changed, the
    token is good, but what the former filter left out until now is not sent.
    """
    found: dict[str, str] = {}
    if _differ(record.cluster_id, now.cluster_id) or _differ(record.replica_set, now.replica_set):
        found["deployment"] = (
            f"the token was saved on another deployment (replica set {_name(record.replica_set)}, id "
            f"{_name(record.cluster_id)}; now {_name(now.replica_set)}, id {_name(now.cluster_id)}): "
            "its times mean nothing here"
        )
    if _differ(record.stream, now.stream):
        found["stream"] = (
            f"the token was saved while watching the {record.stream}, now it is the {now.stream}: "
            "changes from before the token were never sent"
        )
    elif _differ(record.fingerprint, now.fingerprint):
        found["fingerprint"] = (
            f"the filter changed since the token was saved (now {filters}): what the former filter left out "
            "before the token is not sent; to send it, reset to an earlier time"
        )
    return found


def _differ(stored: str, current: str) -> bool:
    return bool(stored) and bool(current) and stored != current


def _name(text: str) -> str:
    return text or "not known"
