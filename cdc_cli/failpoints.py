"""Named places around every durable step, where a test can make this process die, fail or hang.

Off unless the environment variable CDC_FAILPOINTS was set when a service started; then `hit` costs one look-up in
an empty dictionary, and it stands only where something happens once a batch. The variable holds points separated by
commas, each `name:action@n`: at the n-th time that the place is passed (1 when not given) the action happens, once.

| action | what happens |
|---|---|
| kill | SIGKILL to this process, as when the machine takes it away |
| raise | an exception that nobody expects |
| fail | a failure that passes (`Retryable`): at an `after_` point the step was done, and its success is not known |
| hang | the thread stands still for ever |
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

from cdc_cli.errors import ConfigError, Retryable

VARIABLE: Final = "CDC_FAILPOINTS"
POINTS: Final = frozenset(
    {
        "capture.after_read",
        "publish.before_send",
        "publish.after_send",
        "publish.after_ack",
        "token.before_save",
        "token.after_save",
        "token_file.after_write",
        "token_file.after_fsync",
        "token_file.after_keep",
        "token_file.after_rename",
        "token_file.after_sync_folder",
        "token_redis.before_save",
        "token_redis.after_save",
        "watch.before_flush",
        "watch.before_last_save",
        "sync.after_route",
        "sync.after_claim",
        "sync.before_seek",
        "apply.before_begin",
        "apply.after_begin",
        "apply.before_commit",
        "apply.after_commit",
        "offsets.before_store",
        "offsets.before_commit",
        "offsets.after_store",
        "offsets.before_tell",
        "offsets.after_tell",
        "dead_letter.before_publish",
        "dead_letter.after_publish",
        "sync.before_flush",
        "sync.before_last_store",
    }
)
"""Every place; a test sees to it that the code passes each of them."""
ACTIONS: Final = ("kill", "raise", "fail", "hang")


class FailpointReached(Exception):
    """What `raise` raises: like a mistake in the code, no class of ours."""


class _Point:
    """One armed place; counts under a lock, because several threads pass."""

    def __init__(self, name: str, action: str, nth: int) -> None:
        self._name = name
        self._action = action
        self._left = nth
        self._lock = threading.Lock()

    def hit(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
        os.write(2, f"failpoint {self._name} {self._action}\n".encode())
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._action == "hang":
            threading.Event().wait()
        if self._action == "fail":
            raise Retryable(f"failpoint {self._name}", code="failpoint")
        raise FailpointReached(self._name)


_armed: Final[dict[str, _Point]] = {}


def hit(name: str) -> None:
    """The place `name` is passed. Does nothing unless it was armed; then it may not return, or raise."""
    point = _armed.get(name)
    if point is not None:
        point.hit()


def is_armed(*names: str) -> bool:
    """Whether one of these places was armed: where the mere call would be too dear, the wiring asks once."""
    return not _armed.keys().isdisjoint(names)


def arm(spec: str) -> None:
    """Take the value of CDC_FAILPOINTS; empty = nothing is armed. Raises ConfigError."""
    _armed.clear()
    for part in filter(None, (part.strip() for part in spec.split(","))):
        name, _, rest = part.partition(":")
        action, _, nth = rest.partition("@")
        if name not in POINTS or action not in ACTIONS or not (nth or "1").isdecimal() or nth == "0":
            raise ConfigError(f"{VARIABLE} is not understood: {part!r}", "it is for tests only: unset it")
        _armed[name] = _Point(name, action, int(nth or "1"))
