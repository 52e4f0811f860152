"""Which resume token is safe to save: that of the contiguous acknowledged prefix (invariant I4). Pure.

One ordered queue holds every record under way with the mark right after it; a post-batch mark stands in the
same queue as an item that is done from the start, so that it is never saved before what was read ahead of it.
"""

from __future__ import annotations

import threading
from collections import deque

from cdc_cli.events import Mark
from cdc_cli.publish import Delivery


class Tracker:
    """Counts what is in flight and yields the newest safe mark.

    One thread adds; any thread may call `advance` and read the figures. A failed delivery stops the prefix:
    nothing behind it becomes safe until `reset`, after which the caller reads again from `safe`.
    """

    def __init__(self, safe: Mark | None = None) -> None:
        self._queue: deque[tuple[Delivery | None, Mark, int]] = deque()
        self._settling = threading.Lock()
        self._added = self._settled = 0
        self._added_bytes = self._settled_bytes = 0
        self._safe = safe
        self._failure: BaseException | None = None

    @property
    def safe(self) -> Mark | None:
        """The newest mark before which everything is acknowledged."""
        return self._safe

    @property
    def failure(self) -> BaseException | None:
        """The driver's error of the first record that failed, None = none failed."""
        return self._failure

    @property
    def in_flight(self) -> int:
        """Records sent and not yet found acknowledged."""
        return self._added - self._settled

    @property
    def in_flight_bytes(self) -> int:
        return self._added_bytes - self._settled_bytes

    def has_room(self, events: int, size: int) -> bool:
        """Whether less is in flight than so many records and bytes; asked for every event."""
        return self._added - self._settled < events and self._added_bytes - self._settled_bytes < size

    @property
    def acknowledged(self) -> int:
        """Records acknowledged so far: grows whenever the brokers make progress."""
        return self._settled

    def add(self, delivery: Delivery, mark: Mark, size: int) -> None:
        """A record of `size` bytes is under way; once it and all before it are acknowledged, `mark` is safe."""
        self._added += 1
        self._added_bytes += size
        self._queue.append((delivery, mark, size))

    def note(self, mark: Mark) -> None:
        """Nothing to publish up to `mark`: it is safe once everything added before it is."""
        self._queue.append((None, mark, 0))

    def advance(self) -> Mark | None:
        """Take what is done off the front of the queue; the newest safe mark."""
        with self._settling:
            queue = self._queue
            settled = size = 0
            safe = self._safe
            while queue and self._failure is None:
                delivery, mark, nbytes = queue[0]
                if delivery is not None:
                    if not delivery.is_done:
                        break
                    if delivery.exception is not None:
                        self._failure = delivery.exception
                        break
                    settled += 1
                    size += nbytes
                safe = mark
                queue.popleft()
            self._settled += settled
            self._settled_bytes += size
            self._safe = safe
            return safe

    def restart(self, safe: Mark) -> None:
        """Begin at a mark that is known to be safe: where the stream was opened."""
        with self._settling:
            self._safe = safe

    def reset(self) -> int:
        """Forget everything under way (it will be read again from `safe`); how many records that were."""
        with self._settling:
            abandoned = self._added - self._settled
            self._queue.clear()
            self._added, self._added_bytes = self._settled, self._settled_bytes
            self._failure = None
            return abandoned
