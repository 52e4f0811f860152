"""A TokenStore in Redis or Valkey, for a watcher that may move between hosts.

Keys, each beginning with `token_store.redis.key_prefix`: `token` (a hash: the record and its place in the
order of writes), `token:history`, `token:number`, `token:lease`, `token:fence` and `token:saved`, which tells
a token that has vanished from one that never was. What writes the token is one Lua script that checks the
lease first. The scripts touch several keys, so Redis Cluster is not supported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from cdc_cli import failpoints
from cdc_cli.checkpoint import HistoryEntry, TokenRecord, Writer
from cdc_cli.checkpoint.record import decode, encode, place, timeline
from cdc_cli.checkpoint.redisclient import RedisClient
from cdc_cli.checkpoint.redislease import RIGHT, RedisLease
from cdc_cli.clock import Clock
from cdc_cli.errors import CdcError, PositionLost
from cdc_cli.observe.log import EventLog

log = EventLog(__name__)

_SAVE = (
    RIGHT
    + """
if not has_right(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]) then return -1 end
local payload, seq, place, timeline, by_operator = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local old = redis.call('HMGET', KEYS[3], 'fence', 'seq', 'place', 'timeline')
if old[1] == ARGV[2] and tonumber(old[2]) > tonumber(seq) then return 0 end
local comparable = by_operator == '0' and old[4] == timeline and old[3] and old[3] ~= '' and place ~= ''
if comparable and place < old[3] then return 0 end
redis.call('HSET', KEYS[3], 'record', payload, 'fence', ARGV[2], 'seq', seq)
redis.call('HSET', KEYS[3], 'place', place, 'timeline', timeline)
redis.call('SET', KEYS[4], '1')
return 1
"""
)
_CLEAR = (
    RIGHT
    + """
if not has_right(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]) then return -1 end
redis.call('DEL', KEYS[3], KEYS[4])
return 1
"""
)
_REMEMBER = """
local number = redis.call('INCR', KEYS[2])
redis.call('LPUSH', KEYS[1], number .. ' ' .. ARGV[1])
redis.call('LTRIM', KEYS[1], 0, tonumber(ARGV[2]) - 1)
return number
"""
_LOAD = "return {redis.call('HGET', KEYS[1], 'record'), redis.call('EXISTS', KEYS[2])}"


class RedisTokenStore:
    """See `TokenStore`; thread-safe. No call retries for long: the saver and its policy do that."""

    def __init__(
        self,
        url: str,
        prefix: str,
        ttl: float,
        history: int,
        version: str,
        clock: Clock,
        wait: Callable[[float], bool],
    ) -> None:
        """`ttl` of the lease in seconds; `wait(seconds)` sleeps, True = the process shall stop."""
        self._client = RedisClient(url)
        self._lease = RedisLease(prefix, ttl, version, self._client.eval, clock, wait)
        self._limit = history
        self._key, self._saved_key = f"{prefix}token", f"{prefix}token:saved"
        self._history_key, self._number_key = f"{prefix}token:history", f"{prefix}token:number"
        self._seq = 0
        self._guard = threading.RLock()

    def describe(self) -> str:
        return f"redis {self._client.address} key {self._key}"

    def load(self) -> TokenRecord | None:
        record, was_saved = self._client.eval(_LOAD, [self._key, self._saved_key], [])
        if record is not None:
            return decode(record, self.describe(), self._way_out())
        if was_saved:
            raise PositionLost(
                f"the resume token in {self.describe()} is gone (evicted, expired or deleted by hand)",
                self._way_out(),
                code="token.vanished",
            )
        return None

    def save(self, record: TokenRecord) -> None:
        with self._guard:
            self._seq += 1
            where = place(record.mark)
            args = [
                *self._lease.arguments(),
                encode(record),
                self._seq,
                f"{where[0]:010d}.{where[1]:010d}" if where else "",
                timeline(record),
                "1" if record.reason else "0",
            ]
            failpoints.hit("token_redis.before_save")
            answer = self._client.eval(_SAVE, [*self._right_keys(), self._key, self._saved_key], args)
            failpoints.hit("token_redis.after_save")
        if answer == -1:
            raise self._lease.lost()
        if answer == 0:
            log.warn("token.older_ignored", "not saved, older than the one in %s", self.describe())

    def clear(self, reason: str) -> None:
        with self._guard:
            args = self._lease.arguments()
            try:
                current = self.load()
            except PositionLost as exc:
                log.warn("token.not_kept", "what is cleared cannot go to the history: %s", exc)
                current = None
            if current is not None:
                self.remember(replace(current, reason=reason or "cleared"))
            keys = [*self._right_keys(), self._key, self._saved_key]
            if self._client.eval(_CLEAR, keys, args) == -1:
                raise self._lease.lost()

    def history(self) -> Sequence[HistoryEntry]:
        lines = self._client.eval("return redis.call('LRANGE', KEYS[1], 0, -1)", [self._history_key], [])
        return [entry for line in lines if (entry := self._parse(line)) is not None]

    def remember(self, record: TokenRecord) -> int:
        if self._limit == 0:
            return 0
        keys = [self._history_key, self._number_key]
        return int(self._client.eval(_REMEMBER, keys, [encode(record).rstrip(), self._limit]))

    def acquire(self, force: bool = False) -> None:
        with self._guard:
            self._lease.acquire(force)

    def renew(self) -> None:
        with self._guard:
            self._lease.renew()

    def holder(self) -> Writer | None:
        return self._lease.holder()

    def release(self) -> None:
        with self._guard:
            try:
                self._lease.release()
            except CdcError as exc:
                log.warn("token.release_failed", "the lease cannot be given back, it will expire: %s", exc)
            self._client.close()

    def warnings(self) -> Sequence[str]:
        return self._client.durability_warnings()

    def _right_keys(self) -> list[str]:
        return [self._lease.key, self._lease.fence_key]

    def _parse(self, line: bytes) -> HistoryEntry | None:
        number, _, text = line.partition(b" ")
        try:
            where = f"entry {number.decode('ascii', 'replace')} of {self._history_key}"
            return HistoryEntry(int(number), decode(text, where, ""))
        except (PositionLost, ValueError) as exc:
            log.warn("token.history_damaged", "left out of the token history: %s", exc)
            return None

    def _way_out(self) -> str:
        return (
            "cdc token history shows earlier ones, cdc token restore N puts one back, "
            "cdc token reset (--to-now, --to-oldest, --to-datetime or --clear) sets another position"
        )
