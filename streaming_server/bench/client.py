"""A websocket client thin enough to share two cores with the server it measures."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, cast
from urllib.parse import urlsplit

from streaming_server.bench.wires import Listener, Native, Wire
from streaming_server.errors import Draining, SpeechError

TEXT, BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_NO_MASK = bytes(4)
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server and its API key."""

    host: str
    port: int
    prefix: str = ""
    secure: bool = False
    key: str | None = None

    @classmethod
    def of(cls, url: str, key: str | None = None) -> Self:
        """Parse an http, https, ws or wss URL. Raise SpeechError."""
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https", "ws", "wss") and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise SpeechError("--url must be http://host:port or https://host:port.")
        secure = parts.scheme in ("https", "wss")
        prefix = parts.path.rstrip("/")
        return cls(parts.hostname or "127.0.0.1", parts.port or (443 if secure else 80), prefix, secure, key)

    @property
    def authority(self) -> str:
        """Host and port as in a URL: an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, path: str, scheme: Literal["http", "ws"] = "http") -> str:
        return f"{scheme}{'s' if self.secure else ''}://{self.authority}{self.prefix}{path}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request needs."""
        return {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a message in one frame. Its mask is zero, which is valid and saves the masking."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + _NO_MASK + payload
    return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size) + _NO_MASK + payload


class Client(asyncio.Protocol):
    """One websocket. Supports neither extensions nor fragmented messages; the server sends neither."""

    def __init__(self, listener: Listener, address: Address, wire: type[Wire] = Native) -> None:
        self._listener = listener
        self._address = address
        self._wire = wire(listener)
        self._rest = b""
        self._feed: Callable[[bytes, float], int] = self._read_handshake
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self._left = False

    def write(self, payload: bytes, *, last: bool = False) -> None:
        """Send a message unless it is empty. last: whether it is the last one of its turn."""
        if last:
            self._wire.before_last()
        if self._transport is not None and payload:
            self._transport.write(self._encode(payload))

    def _encode(self, payload: bytes) -> bytes:
        return frame(TEXT, payload)

    def end(self) -> None:
        """Send a close frame and close the connection."""
        self._ended = True
        if self._transport is not None:
            self._transport.write(frame(_CLOSE, struct.pack("!H", 1000)))
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        where = self._address
        lines = [
            f"GET {where.prefix}{self._wire.path} HTTP/1.1",
            f"Host: {where.authority}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        lines += [f"{name}: {value}" for name, value in where.headers.items()]
        self._transport.write("\r\n".join(lines).encode() + HEAD_END)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._rest:
            data = self._rest + data
        read = self._feed(data, now)
        self._rest = data[read:] if read < len(data) else b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._close("lost")

    def _close(self, reason: str) -> None:
        if not self._left:
            self._left = True
            self._listener.on_close(None if self._ended else reason)
            if self._transport is not None:
                self._transport.close()

    def _read_handshake(self, data: bytes, now: float) -> int:
        """Read the handshake response. Return the number of bytes consumed."""
        end = data.find(HEAD_END)
        if end < 0:
            return 0
        if data.split(b" ", 2)[1] != b"101":
            self._close("refused")
            return len(data)
        self._feed = self._frames
        self._wire.on_open(now)
        begin = end + len(HEAD_END)
        return begin + self._frames(data[begin:], now)

    def _frames(self, data: bytes, now: float) -> int:
        """Read the complete frames. Return the number of bytes consumed."""
        at, total = 0, len(data)
        while at + 2 <= total:
            size, body = data[at + 1], at + 2
            if size == 126:
                body += 2
                size = int.from_bytes(data[at + 2 : body], "big")
            elif size == 127:
                body += 8
                size = int.from_bytes(data[at + 2 : body], "big")
            end = body + size
            if end > total:
                break
            opcode = data[at] & 0x0F
            if opcode == BINARY:
                self._wire.binary(data[body:end], now)
            elif opcode == TEXT:
                self._wire.text(data[body:end], now)
            elif opcode == _PING and self._transport is not None:
                self._transport.write(frame(_PONG, data[body:end]))
            elif opcode == _CLOSE:
                code = int.from_bytes(data[body : body + 2], "big")
                self._close("restarting" if code == Draining.close_code else "lost")
            at = end
        return at
