"""Clients that do not read."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from helpers.foreign import LONG
from helpers.servers import Server


def silent_socket(port: int) -> socket.socket:
    """Return a connection that takes little unread."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.settimeout(60)
    return client


def stalled_websocket(server: Server, path: str, messages: Sequence[str | bytes]) -> socket.socket:
    """Return a websocket that sends messages and never reads."""
    client = silent_socket(server.port)
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert client.recv(12) == b"HTTP/1.1 101"
    client.sendall(b"".join(map(_frame, messages)))
    return client


def stalled_client(server: Server, text: str = LONG, **options: Any) -> socket.socket:
    """Return a client of the native protocol that asks for a long speech and never reads."""
    return stalled_websocket(server, "/ws/speak", [json.dumps({"type": "speak", "text": text, **options})])


def _frame(message: str | bytes) -> bytes:
    """Return a client's frame, masked with zeros, of a message of up to 64 KiB."""
    opcode, payload = (0x82, message) if isinstance(message, bytes) else (0x81, message.encode())
    return bytes([opcode, 0xFE]) + len(payload).to_bytes(2, "big") + bytes(4) + payload
