"""A websocket client that can break the protocol at will and checks that the server does not."""

from __future__ import annotations

import asyncio
import base64
import struct
from dataclasses import dataclass, field

from fuzz.dice import Dice
from fuzz.http import Answer, read_answer
from fuzz.target import PATIENCE_S, Finding, Line

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
ALLOWED_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1013})


def frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"\0\0\0\0") -> bytes:
    """Return a client's frame."""
    size = len(payload)
    head = bytes((final << 7 | opcode,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 1 << 16:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + mask + payload


def upgrade(path: str, headers: str = "") -> bytes:
    """Return the request of a handshake."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
    ).encode("utf-8", "surrogatepass")


@dataclass(slots=True)
class WebSocket:
    """An open websocket. heard: messages so far. close_code: of the server's close frame."""

    line: Line
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    close_code: int | None = None
    ended: bool = False
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def open(cls, line: Line, path: str, headers: str = "") -> WebSocket | Answer:
        """Shake hands; return the answer instead if the server refuses."""
        await line.send(upgrade(path, headers))
        async with asyncio.timeout(PATIENCE_S):
            answer = await read_answer(line)
        if answer is None:
            raise Finding("the handshake was not answered")
        return cls(line) if answer.status == 101 else answer

    async def send(self, opcode: int, payload: bytes) -> None:
        await self.line.send(frame(opcode, payload))

    async def send_pieces(self, dice: Dice, opcode: int, payload: bytes) -> None:
        """Send a message as several frames, each in several writes."""
        pieces = dice.cut(payload)
        for number, piece in enumerate(pieces):
            raw = frame(opcode if number == 0 else 0, piece, final=number == len(pieces) - 1)
            for part in dice.cut(raw):
                await self.line.send(part)
                await asyncio.sleep(0)

    async def read(self) -> None:
        """Read and check the server's frames until it hangs up."""
        try:
            while True:
                await self._read_frame()
        except EOFError:
            pass
        finally:
            self.ended = self.line.gone = True
            self._arrived.set()

    async def until(self, opcode: int, payload: bytes | None = None) -> bool:
        """Wait for a message of a kind; return False if the server hangs up first."""
        looked = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for kind, told in self.heard[looked:]:
                    if kind == opcode and payload in (None, told):
                        return True
                looked = len(self.heard)
                if self.ended:
                    return False
                self._arrived.clear()
                await self._arrived.wait()

    async def _read_frame(self) -> None:
        first, size = await self.line.read(2)
        opcode = first & 0x0F
        if first & 0x70 or not first & 0x80 or opcode not in (TEXT, BINARY, CLOSE, PING, PONG) or size & 0x80:
            raise Finding(f"the server sent a malformed frame: {first:#x} {size:#x}")
        if size == 126:
            (size,) = struct.unpack("!H", await self.line.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.line.read(8))
        payload = await self.line.read(size)
        if opcode == PING:
            await self.send(PONG, payload)
        if opcode == CLOSE:
            self.close_code = struct.unpack("!H", payload[:2])[0] if payload else 1000
            await self.send(CLOSE, payload)
        self.heard.append((opcode, payload))
        self._arrived.set()
