"""A client that does not read."""

from __future__ import annotations

import json
import socket
from typing import Any

from helpers.foreign import LONG
from helpers.servers import Server


def stalled_client(server: Server, text: str = LONG, **options: Any) -> socket.socket:
    """Return a websocket that asks for a long speech and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(
        b"GET /ws/speak HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % server.port
    )
    client.recv(1024)
    message = json.dumps({"type": "speak", "text": text, **options}).encode()
    mask = b"\0\0\0\0"
    client.sendall(b"\x81\xfe" + len(message).to_bytes(2, "big") + mask + message)
    return client
