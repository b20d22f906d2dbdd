"""Wyoming events over TCP, presented as websocket messages so that `Connection` can serve them.

An event is a line of JSON, followed by more JSON and a payload whose lengths the line announces. The package
`wyoming` reads any announced length; this module limits how much a client can make the server buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import orjson
from anyio.abc import SocketStream
from starlette.types import Message

from streaming_server.errors import BadMessage, TooLarge, TooSlow
from streaming_server.web.websocket.decoding import decode_object
from streaming_server.web.websocket.frames import FRAMES

VERSION = "1.10.2"
"""Version of the `wyoming` package whose events these match."""

PIECE_BYTES = 65536
"""Bytes per read."""

LINGER_S = 1.0
"""Time for a refused client to read the error."""

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""Exceptions raised when the client has disconnected."""


def encoded(kind: str, data: Mapping[str, Any] | None = None, payload: bytes | memoryview = b"") -> bytes:
    """Encode an event."""
    header: dict[str, Any] = {"type": kind, "version": VERSION}
    body = orjson.dumps(data) if data else b""
    if body:
        header["data_length"] = len(body)
    if payload:
        header["payload_length"] = len(payload)
    return b"".join((orjson.dumps(header), b"\n", body, payload))


def read_event(raw: bytes) -> dict[str, Any]:
    """Decode an event to its `type` and `data`, which is None if it was too long to be kept.

    Raises BadMessage.
    """
    line, _, rest = raw.partition(b"\n")
    header = decode_object(line)
    inline = header.get("data")
    data: dict[str, Any] | None = inline if isinstance(inline, dict) else {}
    if rest:
        data = {**(data or {}), **decode_object(rest)}
    elif _length(header, "data_length"):
        data = None
    return {"type": header.get("type"), "data": data}


def _length(header: Mapping[str, Any], name: str) -> int:
    """Return a length from the header, 0 if absent. Raises BadMessage."""
    length = header.get(name)
    if length is None:
        return 0
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise BadMessage("must be a number of bytes.", field=name)
    return length


class EventStream:
    """The messages of one client, in the form of ASGI's websocket messages.

    Received messages hold an event's line and data, for `read_event`. Data longer than `max_bytes`, and
    payloads, which no event for synthesis has, are discarded. The first event must be complete within
    `timeout_s` seconds; so must each later one, from its first byte.
    """

    def __init__(self, stream: SocketStream, max_bytes: int, timeout_s: float) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._buffer = bytearray()
        self._begun = False
        self._left = False
        self._sending = anyio.Lock()

    async def receive(self) -> Message:
        """Raises BadMessage, TooLarge or TooSlow, after which the stream cannot be read any further."""
        try:
            return {"type": "websocket.receive", "bytes": await self._event()}
        except GONE:
            self._left = True
            return {"type": "websocket.disconnect"}
        except TimeoutError:
            raise TooSlow("The event was not complete in time.") from None

    async def send(self, message: Message) -> None:
        """Raises OSError if the client has disconnected."""
        match message["type"]:
            case "websocket.send":
                await self._write(message["bytes"])
            case "websocket.close" if message["reason"]:
                await self._write(encoded("error", {"text": message["reason"]}))
            case _ if message["type"] == FRAMES:
                await self._write(b"".join(message["frames"]))

    async def linger(self) -> None:
        """Shut down writing, then read and discard input for a moment.

        Closing a socket with unread data resets it, and the client may lose what was sent last.
        """
        with anyio.move_on_after(0 if self._left else LINGER_S):
            try:
                await self._stream.send_eof()
                while True:
                    await self._stream.receive(PIECE_BYTES)
            except (*GONE, OSError, RuntimeError):  # uvloop raises the last one for a failed socket.
                return

    async def _write(self, data: bytes) -> None:
        async with self._sending:
            try:
                await self._stream.send(data)
            except GONE:
                raise ConnectionResetError from None

    async def _event(self) -> bytes:
        if self._begun and not self._buffer:
            await self._fill()
        with anyio.fail_after(self._timeout_s):
            line = await self._line()
            header = decode_object(line)
            length, payload = _length(header, "data_length"), _length(header, "payload_length")
            kept = length <= self._max_bytes
            data = await self._take(length) if kept else b""
            await self._drop(payload if kept else length + payload)
        self._begun = True
        return line + b"\n" + data

    async def _line(self) -> bytes:
        """Return the bytes up to the next newline, which is discarded."""
        looked = 0
        while (end := self._buffer.find(b"\n", looked)) < 0 and len(self._buffer) <= self._max_bytes:
            looked = len(self._buffer)
            await self._fill()
        if not 0 <= end <= self._max_bytes:
            raise TooLarge(f"The line of an event is longer than {self._max_bytes} bytes.")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def _drop(self, count: int) -> None:
        while count > len(self._buffer):
            count -= len(self._buffer)
            self._buffer.clear()
            await self._fill()
        del self._buffer[:count]

    async def _fill(self) -> None:
        self._buffer += await self._stream.receive(PIECE_BYTES)
