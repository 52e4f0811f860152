"""The right to write a token in Redis: a key that expires, and a fencing number that only grows.

The lease's value is `<fence> <holder and a random number>`; every script that writes compares the whole
value, so a watcher that was asleep while another took over can never write again. A lease that nobody took
over meanwhile (expired, evicted, or Redis lost its memory) is simply taken up again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, Protocol

from cdc_cli.checkpoint import Writer, holder
from cdc_cli.clock import Clock
from cdc_cli.errors import TryLater
from cdc_cli.retry import Stopped

RIGHT = """
local function has_right(lease, fence, mine, number, ttl)
  local current = redis.call('GET', lease)
  if current == mine then return true end
  if current then return false end
  local last = redis.call('GET', fence)
  if last and last ~= number then return false end
  redis.call('SET', fence, number)
  redis.call('SET', lease, mine, 'PX', ttl)
  return true
end
"""
"""Lua for every script that writes: is the lease ours, or was it nobody's since it was ours?"""

_TAKE = """
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then return {0, current, redis.call('PTTL', KEYS[1])} end
local number = redis.call('INCR', KEYS[2])
local value = number .. ' ' .. ARGV[2]
redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
return {1, value, 0}
"""
_RENEW = (
    RIGHT
    + """
if not has_right(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]) then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
)
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
_LOOK_EVERY = 0.1
_CLOCK_SLACK_MS = 250


class Eval(Protocol):
    """Runs a Lua script with keys and arguments; driver errors come out as errors of ours."""

    def __call__(self, script: str, keys: list[str], args: list[Any]) -> Any: ...


class RedisLease:
    """One lease; not thread-safe, the store sees to that. All methods raise Retryable, Denied."""

    def __init__(
        self,
        prefix: str,
        ttl: float,
        version: str,
        run: Eval,
        clock: Clock,
        wait: Callable[[float], bool],
    ) -> None:
        """`ttl` in seconds; `wait(seconds)` sleeps and returns True when the process shall stop."""
        self.key, self.fence_key = f"{prefix}token:lease", f"{prefix}token:fence"
        self.ttl_ms = int(ttl * 1000)
        self.value = ""
        self._run = run
        self._clock = clock
        self._wait = wait
        self._me = json.dumps(
            {"nonce": secrets.token_hex(16), "holder": holder.this_process(version).to_json()}
        )

    @property
    def fence(self) -> str:
        """The fencing number that we write under, as text; empty without a lease."""
        return self.value.partition(" ")[0]

    def acquire(self, force: bool) -> None:
        """Take a free lease, a dead process's at once, else wait until it expires or proves to be alive.

        Raises Stopped when the process shall end meanwhile.
        """
        if self.value:
            return
        current, left_ms = self._take("")
        while current:
            if force or _is_dead(current):
                current, left_ms = self._take(current)
                continue
            self._wait_for_expiry(current, left_ms)
            current, left_ms = self._take("")

    def renew(self) -> None:
        """Extend the lease to its full length from now; raises TryLater when another has it."""
        if self._run(_RENEW, [self.key, self.fence_key], self.arguments()) != 1:
            raise self.lost()

    def arguments(self) -> list[Any]:
        """What `has_right` of `RIGHT` needs to know. Raises TryLater when the lease was never acquired."""
        if not self.value:
            raise self.lost()
        return [self.value, self.fence, self.ttl_ms]

    def release(self) -> None:
        """Let go at once instead of letting it expire."""
        value, self.value = self.value, ""
        if value:
            self._run(_RELEASE, [self.key], [value])

    def holder(self) -> Writer | None:
        """Who has the lease now, None = nobody."""
        current = self._run("return redis.call('GET', KEYS[1])", [self.key], [])
        return _writer(_text(current)) if current else None

    def lost(self) -> TryLater:
        """The error for a writer whose lease is another's."""
        return TryLater(
            f"the lease {self.key} is held by another watcher, or was never taken: nothing was written",
            "see who holds it: cdc token show",
            "token.lease_lost",
        )

    def _take(self, replacing: str) -> tuple[str, int]:
        """("", 0) when the lease is ours now, else the value in the way and the milliseconds it has left."""
        taken, value, left = self._run(_TAKE, [self.key, self.fence_key], [replacing, self._me, self.ttl_ms])
        text = _text(value)
        # the driver repeats a request whose answer was lost; then the value in the way is our own
        if taken == 1 or text.partition(" ")[2] == self._me:
            self.value = text
            return "", 0
        return text, int(left)

    def _wait_for_expiry(self, current: str, left_ms: int) -> None:
        """Returns once the lease is gone; raises TryLater as soon as its holder gives a sign of life."""
        began = self._clock.monotonic()
        while True:
            if self._wait(_LOOK_EVERY):
                raise Stopped
            value, left = self._run(
                "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}", [self.key], []
            )
            if not value:
                return
            expected = left_ms - (self._clock.monotonic() - began) * 1000
            if _text(value) != current or int(left) > expected + _CLOCK_SLACK_MS or int(left) < 0:
                raise self._taken(_text(value))

    def _taken(self, value: str) -> TryLater:
        return TryLater(
            f"another watcher is writing this token: {holder.name(_writer(value))} renews {self.key}",
            "stop that one first; a standby started again later takes over at once",
        )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _holder(value: str) -> holder.Holder | None:
    try:
        return holder.parse(json.loads(value.partition(" ")[2])["holder"])
    except (ValueError, KeyError, TypeError):
        return None


def _writer(value: str) -> Writer:
    who = _holder(value)
    return who.writer if who else Writer("an unknown host", 0, "unknown")


def _is_dead(value: str) -> bool:
    who = _holder(value)
    return who is not None and who.is_dead()
