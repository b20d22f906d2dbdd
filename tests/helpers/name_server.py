"""A name server that gives one list of addresses for every name."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TTL_S = 1
IPV4, INTERNET = 1, 1
"""The type of an address record, and its class (RFC 1035, 3.2)."""


@dataclass(slots=True)
class NameServer:
    """address: its own, as host:port. addresses: what it answers."""

    address: str
    addresses: list[str] = field(default_factory=list)

    def answer(self, query: bytes) -> bytes:
        """Return the answer to a query of one question (RFC 1035, 4.1)."""
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        (kind,) = struct.unpack("!H", question[-4:-2])
        found = self.addresses if kind == IPV4 else []
        head = query[:2] + struct.pack("!5H", 0x8580, 1, len(found), 0, 0)
        records = (
            struct.pack("!HHHIH", 0xC00C, IPV4, INTERNET, TTL_S, 4) + socket.inet_aton(one) for one in found
        )
        return b"".join([head, question, *records])


@contextmanager
def name_server() -> Iterator[NameServer]:
    """Run a name server on a free port of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        server = NameServer(f"127.0.0.1:{listener.getsockname()[1]}")
        ended = threading.Event()

        def run() -> None:
            while True:
                query, client = listener.recvfrom(4096)
                if ended.is_set():
                    return
                listener.sendto(server.answer(query), client)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", listener.getsockname())
            thread.join()
