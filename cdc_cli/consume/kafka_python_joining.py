"""Makes kafka-python's group members take the result of joining, whenever it comes.

Known of 3.0.12: joining a group goes on between two polls, but only a poll that waits for the very moment of its
end takes the result. A leader that joins because topics changed forgets afterwards that it was joining, and stays
a member without partitions and without heartbeats; everybody else throws the result away and joins once more,
which makes the others join once more. Slow members, busy with PostgreSQL, would never come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

_LOOK_EVERY = 0.01


def keep_joining(coordinator: Any) -> None:
    """Keep the result of joining until a poll waits for it. Both wrappers run on the driver's own thread."""
    join: Callable[[], Coroutine[Any, Any, bytes]] = coordinator._do_join_and_sync_async
    wait: Callable[..., Coroutine[Any, Any, bool]] = coordinator.join_group_async
    awaited = False

    async def join_and_keep() -> bytes:
        coordinator.request_rejoin()
        assignment = await join()
        while not awaited:
            await coordinator._net.sleep(_LOOK_EVERY)
        return assignment

    async def wait_for_it(timeout_ms: float | None = None) -> bool:
        nonlocal awaited
        awaited = True
        try:
            return await wait(timeout_ms=timeout_ms)
        finally:
            awaited = False

    coordinator._do_join_and_sync_async = join_and_keep
    coordinator.join_group_async = wait_for_it
