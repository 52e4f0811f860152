"""A TCP proxy that cuts, stalls and slows connections on demand, so that network faults in tests are real."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

Direction = Literal["up", "down", "both"]
T = TypeVar("T")
_Queue = asyncio.Queue[tuple[float, bytes]]

_CHUNK = 64 * 1024
_QUEUED_CHUNKS = 16
_CALL_SECONDS = 10.0


class _Lane:
    """One direction (up: client to server) of all connections: its faults and what went through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.transferred = 0
        self.mend()

    def mend(self) -> None:
        self.latency = 0.0
        self.bytes_per_second = 0.0
        self.piece = _CHUNK
        self.drop_at: int | None = None
        self.open.set()

    def take(self, available: int) -> int:
        """How many of the available bytes go out in one piece; they count as transferred from now on."""
        size = min(available, self.piece)
        if self.bytes_per_second:
            size = min(size, max(1, int(self.bytes_per_second / 20)))
        if self.drop_at is not None:
            size = min(size, max(0, self.drop_at - self.transferred))
        self.transferred += size
        return size

    def break_when_due(self) -> None:
        """Raises once, when the last byte before `drop_at` has gone out."""
        if self.drop_at is not None and self.transferred >= self.drop_at:
            self.drop_at = None
            raise ConnectionResetError("dropped as asked")


class Proxy:
    """Forwards `port` on 127.0.0.1 to a target. Starts at once; use it as a context manager or `close()` it.

    Every method returns when its fault is in force, for open and for new connections, until `heal()`. At most
    1 MiB per connection and direction is buffered here.
    """

    def __init__(self, target_host: str, target_port: int, port: int = 0) -> None:
        self._target = (target_host, target_port)
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._lanes = {"up": _Lane(), "down": _Lane()}
        self._connections: set[asyncio.Task[None]] = set()
        self._with_reset = False
        self._listener: socket.socket | None = None
        self.accept()

    @property
    def address(self) -> str:
        """`host:port` that clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open through the proxy now."""
        return len(self._connections)

    def transferred(self, direction: Literal["up", "down"]) -> int:
        """Bytes handed on in this direction so far, over all connections."""
        return self._lanes[direction].transferred

    def cut(self) -> None:
        """Closes all connections with FIN (RST where bytes were unread); new ones are let in."""
        self._do(self._close_all(reset=False))

    def reset(self) -> None:
        """Breaks all connections (RST); new ones are let in."""
        self._do(self._close_all(reset=True))

    def refuse(self) -> None:
        """New connections are refused, as when no server listens; open ones live on."""
        self._do(self._unlisten())

    def accept(self) -> None:
        """New connections are let in again, on the same port."""
        self._do(self._listen())

    def blackhole(self, direction: Direction = "both") -> None:
        """Connections stay open, no byte passes, as when a cable is pulled; `heal()` lets the bytes go on."""
        self._set(direction, lambda lane: lane.open.clear())

    def latency(self, seconds: float, direction: Direction = "both") -> None:
        """Every byte arrives that much later; throughput is not limited by it."""
        self._set(direction, lambda lane: setattr(lane, "latency", seconds))

    def throttle(self, bytes_per_second: float, direction: Direction = "both") -> None:
        """No connection moves more than that in one direction."""
        self._set(direction, lambda lane: setattr(lane, "bytes_per_second", bytes_per_second))

    def slice(self, n: int, direction: Direction = "both") -> None:
        """Bytes arrive in pieces of at most `n`, so that readers meet half messages."""
        self._set(direction, lambda lane: setattr(lane, "piece", n))

    def drop_after(self, n_bytes: int, direction: Direction = "down") -> None:
        """Once: hands on `n_bytes` more, then breaks the connection (RST) in the middle of its sentence."""
        self._set(direction, lambda lane: setattr(lane, "drop_at", lane.transferred + n_bytes))

    def heal(self) -> None:
        """No faults any more; connections that survived go on where they stopped."""
        self._set("both", _Lane.mend)
        self.accept()

    def close(self) -> None:
        """Closes everything and waits for the proxy's thread; safe to call twice."""
        if self._loop.is_closed():
            return
        self.refuse()
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    def _set(self, direction: Direction, change: Callable[[_Lane], None]) -> None:
        async def apply() -> None:
            for name, lane in self._lanes.items():
                if direction in (name, "both"):
                    change(lane)

        self._do(apply())

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            # not sock_accept(): a connection that comes as the task is cancelled would be lost and never closed
            self._loop.add_reader(self._listener, self._accept_one, self._listener)

    async def _unlisten(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept_one(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        task = self._loop.create_task(self._serve(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # closed also when the task is cancelled before it has begun
        task.add_done_callback(lambda _: client.close())

    async def _close_all(self, reset: bool) -> None:
        self._with_reset = reset
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        reset = True
        try:
            await self._relay(client, server)
            reset = False
        except asyncio.CancelledError:
            reset = self._with_reset
        except OSError:
            pass
        finally:
            _close(client, reset)
            _close(server, reset)

    async def _relay(self, client: socket.socket, server: socket.socket) -> None:
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.sock_connect(server, self._target)
        await _all_or_none(
            self._carry(client, server, self._lanes["up"]), self._carry(server, client, self._lanes["down"])
        )

    async def _carry(self, source: socket.socket, sink: socket.socket, lane: _Lane) -> None:
        queue: _Queue = asyncio.Queue(_QUEUED_CHUNKS)
        await _all_or_none(self._read(source, lane, queue), self._write(sink, lane, queue))

    async def _read(self, source: socket.socket, lane: _Lane, queue: _Queue) -> None:
        data = b"-"
        while data:
            await lane.open.wait()
            data = await self._loop.sock_recv(source, _CHUNK)
            await queue.put((self._loop.time() + lane.latency, data))

    async def _write(self, sink: socket.socket, lane: _Lane, queue: _Queue) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await lane.open.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            await self._hand_on(sink, lane, memoryview(data))

    async def _hand_on(self, sink: socket.socket, lane: _Lane, data: memoryview) -> None:
        while data:
            await lane.open.wait()
            piece = data[: lane.take(len(data))]
            await self._loop.sock_sendall(sink, piece)
            data = data[len(piece) :]
            lane.break_when_due()
            if lane.bytes_per_second:
                await asyncio.sleep(len(piece) / lane.bytes_per_second)


async def _all_or_none(*works: Coroutine[Any, Any, None]) -> None:
    """Runs the works together; when one fails or the caller is cancelled, none is left running."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _close(end: socket.socket, reset: bool) -> None:
    if reset:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
