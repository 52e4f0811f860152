"""The proxy does to connections what its names say; the far end here is a server that echoes."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.proxy import Proxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    block_on_close = True
    daemon_threads = False


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with Proxy("127.0.0.1", server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", proxy.port), 5.0))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


Connect = Callable[[], socket.socket]


def exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count and (data := connection.recv(count - len(received))):
        received += data
    return received


def ask(connection: socket.socket, data: bytes = b"hello") -> bytes:
    connection.sendall(data)
    return exactly(connection, len(data))


def test_bytes_pass_in_both_directions_and_are_counted(proxy: Proxy, connect: Connect) -> None:
    assert ask(connect(), b"x" * 1000) == b"x" * 1000
    assert proxy.transferred("up") == proxy.transferred("down") == 1000
    assert proxy.connections == 1


def test_megabytes_pass_unharmed_although_the_buffers_are_small(connect: Connect) -> None:
    connection, payload = connect(), bytes(range(256)) * 32_768
    sender = threading.Thread(target=connection.sendall, args=(payload,))
    sender.start()
    received = exactly(connection, len(payload))
    sender.join()
    assert received == payload


def test_a_client_that_has_finished_sending_still_gets_its_answer(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"last words")
    connection.shutdown(socket.SHUT_WR)
    assert exactly(connection, 100) == b"last words"


def test_cut_ends_open_connections_politely_and_lets_new_ones_in(proxy: Proxy, connect: Connect) -> None:
    connection = connect()
    ask(connection)
    proxy.cut()
    assert connection.recv(1) == b""
    assert ask(connect()) == b"hello"


def test_reset_breaks_open_connections_and_lets_new_ones_in(proxy: Proxy, connect: Connect) -> None:
    connection = connect()
    ask(connection)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert ask(connect()) == b"hello"


def test_refuse_turns_away_new_connections_only_until_accept(proxy: Proxy, connect: Connect) -> None:
    connection = connect()
    ask(connection)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect()
    assert ask(connection) == b"hello"
    proxy.accept()
    assert ask(connect()) == b"hello"


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_a_black_hole_swallows_bytes_until_healed_and_loses_none(
    proxy: Proxy, connect: Connect, direction: str
) -> None:
    connection = connect()
    ask(connection)
    proxy.blackhole(direction)  # type: ignore[arg-type]
    connection.sendall(b"kept")
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    proxy.heal()
    connection.settimeout(5.0)
    assert exactly(connection, 4) == b"kept"


def test_latency_delays_each_byte(proxy: Proxy, connect: Connect) -> None:
    proxy.latency(0.1, "down")
    began = time.monotonic()
    assert ask(connect()) == b"hello"
    assert time.monotonic() - began >= 0.1


def test_throttle_spreads_bytes_over_time(proxy: Proxy, connect: Connect) -> None:
    proxy.throttle(10_000, "up")
    began = time.monotonic()
    assert ask(connect(), b"x" * 3000) == b"x" * 3000
    assert time.monotonic() - began >= 0.2


def test_slice_hands_on_small_pieces_in_order(proxy: Proxy, connect: Connect) -> None:
    proxy.slice(3)
    assert ask(connect(), b"0123456789" * 20) == b"0123456789" * 20


@pytest.mark.parametrize("allowed", [0, 4])
def test_drop_after_breaks_the_connection_in_mid_sentence_once(
    proxy: Proxy, connect: Connect, allowed: int
) -> None:
    ask(connect())
    proxy.drop_after(allowed, "up")
    with pytest.raises(ConnectionResetError):
        ask(connect(), b"0123456789")
        ask(connect(), b"0123456789")
    assert proxy.transferred("up") == 5 + allowed
    assert ask(connect()) == b"hello"


def test_a_target_that_is_down_looks_down_through_the_proxy_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # The reset may arrive before the connecting call has returned.
    with (
        Proxy("127.0.0.1", port) as proxy,
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), 5.0) as connection,
    ):
        connection.recv(1)


def test_closing_twice_and_with_open_black_holes_leaves_no_thread(proxy: Proxy, connect: Connect) -> None:
    ask(connect())
    proxy.blackhole()
    proxy.close()
    proxy.close()
    assert "proxy" not in {thread.name for thread in threading.enumerate()}
