"""Certificates of an authority of our own, and a front that speaks TLS for a server whose build cannot."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Self

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What libpq sends first; the answer S means: go on with TLS."""


class Authority:
    """Files in `folder`: the authority's certificate, and certificates for servers that it vouches for."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA(key_type=trustme.KeyType.RSA)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def certificate(self, *names: str) -> Path:
        """A PEM file with the key (PKCS #8, which Java wants) and the certificate for these names."""
        issued = self._authority.issue_cert(*names, key_type=trustme.KeyType.RSA)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        path = self._folder / f"{'-'.join(names)}.pem"
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
        return path


class TlsFront:
    """Takes TLS on a port of its own and hands the plain bytes on, as stunnel does. `postgres`: TLS begins only
    after libpq has asked for it. Use it as a context manager.
    """

    def __init__(self, certificate: Path, target_port: int, postgres: bool = False) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._target_port = target_port
        self._postgres = postgres
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="tls-front")]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _start(self, work: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, name="tls-front")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _serve(self, client: socket.socket) -> None:
        self._sockets.append(client)
        try:
            if self._postgres:
                while client.recv(len(_SSL_REQUEST)) != _SSL_REQUEST:
                    client.sendall(b"N")
                client.sendall(b"S")
            secured = self._context.wrap_socket(client, server_side=True)
            self._sockets.append(secured)
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            client.close()
            return
        self._sockets.append(server)
        self._start(self._carry, server, secured)
        self._carry(secured, server)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()
