"""A minimal Wyoming client."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from helpers.servers import Server

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    data: dict[str, Any]
    payload: bytes


@dataclass(slots=True)
class Events:
    """Sends events and records all received ones."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[Event] = field(default_factory=list)

    async def send(self, kind: str, payload: bytes = b"", **data: Any) -> None:
        body = json.dumps(data).encode() if data else b""
        header = {"type": kind, "version": "1.8.0", "data_length": len(body), "payload_length": len(payload)}
        await self.send_raw(json.dumps(header).encode() + b"\n" + body + payload)

    async def send_raw(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def next(self) -> Event | None:
        """Return the next event, or None if the server has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            if not (line := await self.reader.readline()):
                return None
            header = json.loads(line)
            data = await self.reader.readexactly(header.get("data_length", 0))
            payload = await self.reader.readexactly(header.get("payload_length", 0))
        event = Event(header["type"], json.loads(data or b"{}"), payload)
        self.heard.append(event)
        return event

    async def until(self, kind: str) -> Event:
        """Read until an event of this type; return it."""
        while (event := await self.next()) is not None:
            if event.type == kind:
                return event
        raise AssertionError(f"the server hung up before {kind}: {self.types}")

    async def hung_up(self) -> None:
        """Read until the server closes the connection."""
        while await self.next() is not None:
            pass

    @property
    def types(self) -> list[str]:
        """Return the types of received events, without consecutive repetitions."""
        kinds = [event.type for event in self.heard]
        return [kind for i, kind in enumerate(kinds) if kinds[i - 1 : i] != [kind]]

    def audio(self) -> bytes:
        return b"".join(event.payload for event in self.heard if event.type == "audio-chunk")


def wyoming_port(server: Server) -> int:
    """Return the port that a server started with `--wyoming-port=0` has found."""
    [port] = re.findall(r"tcp://127\.0\.0\.1:(\d+)", server.until_logged("tcp://127.0.0.1:"))
    return int(port)


@asynccontextmanager
async def at_port(port: int) -> AsyncIterator[Events]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    try:
        yield Events(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):  # The server may have been first.
            await writer.wait_closed()
