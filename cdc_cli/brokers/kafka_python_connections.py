"""How kafka-python opens its connections, with what 3.0.12 forgets.

A connection that cannot be made keeps its socket until the garbage collector comes by, one a second in an outage
(invariant I7); and the TLS handshake has no bound: a broker that is silent at that moment is waited for without
end, by the new producer that was to replace a wedged one as well. And it reads 4 KB at a time: after each of two
thousand such pieces of an answer another thread may take the interpreter, and keep it for a millisecond.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket, create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

_DIRECT = "cdc-direct"
_PIECE = 1 << 18
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Socket(KafkaNetSocket):  # type: ignore[misc]
    """Connects directly, like the driver without a proxy, and closes what could not be connected.

    A subclass is known to the driver by the schemes of `proxy_url` that it stands for.
    """

    SCHEMES = (_DIRECT,)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


def _receive(sock: Any, has_more: Callable[[], bool]) -> tuple[bytes, Exception | None]:
    """One large piece of what is there, and what the selector cannot see behind it; with the error that ended it."""
    pieces: list[bytes] = []
    error: Exception | None = None
    try:
        while not pieces or has_more():
            piece = sock.recv(_PIECE)
            if not piece:
                error = KafkaConnectionError("socket disconnected")
                break
            pieces.append(piece)
    except _NOT_NOW:
        pass
    except Exception as exc:
        error = KafkaConnectionError(exc)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), error


class _Plain(KafkaTCPTransport):  # type: ignore[misc]
    """A connection without TLS that reads in large pieces."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        return _receive(self._sock, lambda: False)


class _Transport(KafkaSSLTransport):  # type: ignore[misc]
    """TLS in large pieces, whose handshake ends in time; a failed one closes the socket."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        return _receive(self._sock, lambda: self._sock.pending() > 0)

    async def shake_hands(self, timeout_at: float | None) -> None:
        while True:
            try:
                self._sock.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self._net.wait_read(self._sock, timeout_at=timeout_at)
            except ssl.SSLWantWriteError:
                await self._net.wait_write(self._sock, timeout_at=timeout_at)

    def drop(self) -> None:
        self._sock.close()


class Manager(KafkaConnectionManager):  # type: ignore[misc]
    """The driver's, with our sockets. `reasons` tell why connections failed while the first one is made."""

    def __init__(self, net: Any, **configs: Any) -> None:
        super().__init__(net, **configs)
        self.config["proxy_url"] = f"{_DIRECT}://"
        self.reasons: list[Exception] | None = []

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        connection = super().get_connection(*args, **kwargs)
        if self.reasons is not None:
            connection.init_future.add_errback(self.reasons.append)
        return connection

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        config = self.config
        sock = await create_connection(
            self._net, node.host, node.port, config["socket_options"], config["proxy_url"], timeout_at
        )
        if not self.ssl_enabled:
            return _Plain(self._net, sock, host=node.host)
        try:
            transport = _Transport(
                self._net, sock, host=node.host, **{k: v for k, v in config.items() if k.startswith("ssl_")}
            )
        except BaseException:
            sock.close()
            raise
        try:
            await transport.shake_hands(timeout_at)
        except BaseException as exc:
            transport.drop()
            if isinstance(exc, Exception):
                raise KafkaConnectionError(f"Handshake failed: {exc}") from exc
            raise
        return transport


def net_client(**configs: Any) -> KafkaNetClient:
    """What the drivers' option `kafka_client` wants."""
    net = NetworkSelector(**configs)
    return KafkaNetClient(net, Manager(net, **configs), **configs)
