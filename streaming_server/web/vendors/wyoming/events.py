"""Wyoming's events on a TCP stream, told as the messages of a websocket, so that the same connection serves.

An event is a line of JSON, then as many bytes of more JSON and of payload as the line says. The package
`wyoming` reads whatever length a line claims; here what a client can make the server keep is bounded.
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
from streaming_server.web.websocket.protocol import FRAMES

VERSION = "1.10.2"
"""Of the protocol's package that these events are like."""

PIECE_BYTES = 65536
"""Read at once."""

LINGER_S = 1.0
"""How long a client that is sent away has to read why."""

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What tells that the other side has left."""


def encoded(kind: str, data: Mapping[str, Any] | None = None, payload: bytes | memoryview = b"") -> bytes:
    """An event as it is sent."""
    header: dict[str, Any] = {"type": kind, "version": VERSION}
    body = orjson.dumps(data) if data else b""
    if body:
        header["data_length"] = len(body)
    if payload:
        header["payload_length"] = len(payload)
    return b"".join((orjson.dumps(header), b"\n", body, payload))


def read_event(raw: bytes) -> dict[str, Any]:
    """`type` and `data` of a line and the data after it; None stands for data that was too long to be kept.

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
    """Raises BadMessage."""
    length = header.get(name)
    if length is None:
        return 0
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise BadMessage("a number of bytes.", field=name)
    return length


class EventStream:
    """The messages of one client, shaped as ASGI has a websocket's.

    What is received is an event's line and data, as `read_event` takes them; data longer than `max_bytes` and
    payloads, which no event for a speaker has, are passed over. The first event, and each that has begun, has
    `timeout_s` seconds to come whole; between events a client may be silent.
    """

    def __init__(self, stream: SocketStream, max_bytes: int, timeout_s: float) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._buffer = bytearray()
        self._heard = False
        self._left = False
        self._sending = anyio.Lock()

    async def receive(self) -> Message:
        """Raises BadMessage, TooLarge and TooSlow where it cannot be told where the next event begins."""
        try:
            return {"type": "websocket.receive", "bytes": await self._event()}
        except GONE:
            self._left = True
            return {"type": "websocket.disconnect"}
        except TimeoutError:
            raise TooSlow("The event did not come whole in time.") from None

    async def send(self, message: Message) -> None:
        """Raises OSError when the client has left."""
        match message["type"]:
            case "websocket.send":
                await self._write(message["bytes"])
            case "websocket.close" if message["reason"]:
                await self._write(encoded("error", {"text": message["reason"]}))
            case _ if message["type"] == FRAMES:
                await self._write(b"".join(message["frames"]))

    async def linger(self) -> None:
        """Say that nothing more comes, and read and drop what still does for a moment.

        Closing a socket over unread data takes back what was sent last.
        """
        with anyio.move_on_after(0 if self._left else LINGER_S):
            try:
                await self._stream.send_eof()
                while True:
                    await self._stream.receive(PIECE_BYTES)
            except (*GONE, OSError, RuntimeError):  # The last is uvloop's, for a socket that failed before.
                return

    async def _write(self, data: bytes) -> None:
        async with self._sending:
            try:
                await self._stream.send(data)
            except GONE:
                raise ConnectionResetError from None

    async def _event(self) -> bytes:
        if self._heard and not self._buffer:
            await self._fill()
        with anyio.fail_after(self._timeout_s):
            line = await self._line()
            header = decode_object(line)
            length, payload = _length(header, "data_length"), _length(header, "payload_length")
            kept = length <= self._max_bytes
            data = await self._take(length) if kept else b""
            await self._drop(payload if kept else length + payload)
        self._heard = True
        return line + b"\n" + data

    async def _line(self) -> bytes:
        """Up to the next newline, which is dropped."""
        looked = 0
        while (end := self._buffer.find(b"\n", looked)) < 0 and len(self._buffer) <= self._max_bytes:
            looked = len(self._buffer)
            await self._fill()
        if not 0 <= end <= self._max_bytes:
            raise TooLarge(f"The line of an event has at most {self._max_bytes} bytes.")
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
