"""Setting another position by hand (`cdc token reset`, `cdc token restore`): first the plan, then the deed.

A plan only reads. `carry_out` takes the right to write, keeps the former token in the history and only then
writes, so that every change can be undone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cdc_cli.capture.pipeline import fingerprint, stream_name
from cdc_cli.capture.probe import Resumable
from cdc_cli.capture.runway import Oplog
from cdc_cli.checkpoint import TokenRecord, TokenStore, Writer
from cdc_cli.checkpoint.record import shown_time
from cdc_cli.checkpoint.status import Source
from cdc_cli.errors import CdcError, ExitCode, Fatal, PositionLost
from cdc_cli.events import Mark
from cdc_cli.settings.models import Settings

Time = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written, None = the token is cleared, and what that means.

    `seconds` is the time between the two positions: negative = changes are sent again, positive = changes are
    not sent, None = not known. `entries` counts the changes in that span, of the whole deployment.
    """

    action: str
    former: TokenRecord | None
    target: TokenRecord | None
    seconds: float | None
    entries: int | None
    oplog: Oplog | None
    holder: Writer | None
    notes: list[str] = field(default_factory=list)


class Planner:
    """Makes plans; reads the store and MongoDB, writes nothing."""

    def __init__(
        self, store: TokenStore, source: Source, settings: Settings, me: Writer, now: float
    ) -> None:
        """`now` is the time of this command, in epoch seconds."""
        self._store = store
        self._source = source
        self._settings = settings
        self._me = me
        self._now = now

    def to_now(self, reason: str) -> Plan:
        """Raises Retryable, Denied, ConfigError."""
        return self._to("reset --to-now", self._source.now(), reason)

    def to_oldest(self, reason: str) -> Plan:
        """Raises what `to_now` raises; Fatal (usage) on a sharded cluster, whose oplogs are out of reach."""
        oplog = self._source.oplog()
        if oplog is None:
            raise _usage("the oldest position of a sharded cluster is not known", "use --to-datetime")
        return self._to("reset --to-oldest", Mark({}, None, oplog.first, is_event=False), reason)

    def to_time(self, moment: float, reason: str) -> Plan:
        """`moment` in epoch seconds, rounded down; raises Fatal (usage) outside of the oplog."""
        mark = Mark({}, None, (int(moment), 1), is_event=False)
        oplog, clock = self._oplog()
        if moment > (oplog.now if oplog else self._now):
            raise _usage("that time is in the future", "use --to-now")
        if oplog and not oplog.holds((int(moment), 1)):
            raise _usage("that time lies before the oldest entry of the oplog", "use --to-oldest")
        if (found := self._source.probe(mark)).verdict is Resumable.NO:
            raise _usage(f"no stream can start at that time: {found.reason}", "use a later time")
        notes = [*clock, *([f"not proven: {found.reason}"] if found.verdict is Resumable.UNKNOWN else [])]
        return self._to("reset --to-datetime", mark, reason, notes)

    def clear(self) -> Plan:
        """Needs MongoDB only to tell the consequence."""
        former, notes = self._former()
        oplog, clock = self._oplog()
        return Plan("reset --clear", former, None, None, None, oplog, self._store.holder(), notes + clock)

    def restore(self, number: int, reason: str) -> Plan:
        """Raises Fatal (usage) when the history has no such number."""
        entry = next((e for e in self._store.history() if e.number == number), None)
        if entry is None:
            raise _usage(f"the history has no entry {number}", "see cdc token history")
        notes, found = [], self._source.probe(entry.record.mark)
        if found.verdict is not Resumable.YES:
            notes.append(f"resumable: {found.verdict} ({found.reason})")
        reason = reason or f"restored {number}"
        target = replace(entry.record, saved_at=self._now, writer=self._me, reason=reason)
        return self._plan(f"restore {number}", target, notes)

    def _to(self, action: str, mark: Mark, reason: str, notes: list[str] | None = None) -> Plan:
        replica_set, cluster_id = self._source.identity()
        target = TokenRecord(
            mark=mark,
            stream=stream_name(self._settings.mongodb, self._settings.shard),
            fingerprint=fingerprint(self._settings.mongodb),
            replica_set=replica_set,
            cluster_id=cluster_id,
            saved_at=self._now,
            writer=self._me,
            reason=reason or action,
        )
        return self._plan(action, target, notes or [])

    def _plan(self, action: str, target: TokenRecord, notes: list[str]) -> Plan:
        former, damage = self._former()
        oplog, clock = self._oplog()
        here = shown_time(former.mark) if former else None
        there = shown_time(target.mark)
        seconds = entries = None
        if here and there:
            seconds = float(there[0] - here[0])
            entries = self._source.count(min(here, there), max(here, there)) if oplog else None
        holder = self._store.holder()
        return Plan(action, former, target, seconds, entries, oplog, holder, damage + notes + clock)

    def _former(self) -> tuple[TokenRecord | None, list[str]]:
        try:
            return self._store.load(), []
        except PositionLost as exc:
            return None, [f"{exc.message}; it cannot be kept in the history"]

    def _oplog(self) -> tuple[Oplog | None, list[str]]:
        try:
            return self._source.oplog(), []
        except CdcError as exc:
            return None, [f"not checked against the oplog: {exc.message}"]


def carry_out(plan: Plan, store: TokenStore, reason: str, force: bool) -> int:
    """Does it and returns the number under which the former token can be restored, 0 = there is none.

    Raises TryLater while a watcher holds the right to write, unless `force`; Retryable, Denied. Blocks up to
    the time of a lease when its holder is gone without having said so.
    """
    store.acquire(force)
    try:
        if plan.target is not None:
            # read again: between the plan and the lock a watcher may have saved
            number = _keep(store)
            store.save(plan.target)
            return number
        before = {entry.number for entry in store.history()}
        store.clear(reason or plan.action)
        return next((e.number for e in store.history() if e.number and e.number not in before), 0)
    finally:
        store.release()


def _keep(store: TokenStore) -> int:
    try:
        record = store.load()
    except PositionLost:
        return 0
    return store.remember(record) if record is not None else 0



def _usage(message: str, hint: str) -> Fatal:
    return Fatal(message, hint, "token.bad_target", ExitCode.USAGE)
