"""The server that is fuzzed, and its faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 30.0
"""Seconds the server may take for an answer that is owed."""

FAULTS = frozenset({"internal", "engine_failure", "worker_lost", "storage_failure"})
"""Codes of errors that blame the server."""

UNAVAILABLE = 503


class Finding(AssertionError):
    """The server did something it must not do."""


@dataclass(frozen=True, slots=True)
class Target:
    """Addresses of the server, on loopback. aborted: what answers ended before their end."""

    port: int
    wyoming_port: int
    aborted: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def connected(self, port: int | None = None) -> AsyncIterator[Line]:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port, limit=1 << 24)
        line = Line(reader, writer)
        try:
            yield line
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@dataclass(slots=True)
class Line:
    """A TCP connection. gone: whether either side has ended it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: bool = False

    async def send(self, data: bytes) -> None:
        """Send bytes, or nothing if the server has hung up or does not read."""
        if self.gone:
            return
        try:
            self.writer.write(data)
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.drain()
        except (OSError, RuntimeError):  # The latter once this side has ended the stream.
            self.gone = True

    async def read(self, count: int = -1) -> bytes:
        """Return bytes as they come, none at the end. count: as many, or raise EOFError."""
        try:
            return await (self.reader.read(1 << 16) if count < 0 else self.reader.readexactly(count))
        except OSError:
            raise EOFError from None

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self.writer.write_eof()

    def reset(self) -> None:
        """End the connection with a reset instead of a FIN."""
        self.gone = True
        raw = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def check_told(told: Any) -> None:
    """Raise Finding if a message of the server blames the server itself."""
    if not isinstance(told, dict):
        return
    for code in (told.get("code"), told.get("error_code"), told.get("err_code"), told.get("error")):
        if isinstance(code, dict):
            check_told(code)
        elif isinstance(code, str) and code.lower() in FAULTS:
            raise Finding(f"the server blames itself: {told}")
