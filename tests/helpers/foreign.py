"""A minimal client for other vendors' websockets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from helpers.servers import Server
from helpers.talk import talking

PATIENCE_S = 20.0

TEXT = "Hello there, said the fox. This is the second sentence! And is this the third?"
ENDLESS = "and so on " * 800
"""One sentence of several minutes, which keeps a worker busy."""
LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 40


@dataclass(slots=True)
class Exchange:
    """Sends JSON and records received messages in order, as dictionaries and bytes."""

    socket: ClientConnection
    heard: list[dict[str, Any] | bytes] = field(default_factory=list)

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def next(self) -> dict[str, Any] | bytes:
        with anyio.fail_after(PATIENCE_S):
            raw = await self.socket.recv()
        message: dict[str, Any] | bytes = raw if isinstance(raw, bytes) else json.loads(raw)
        self.heard.append(message)
        return message

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """Read until a matching message; return it."""
        while not wanted(message := await self.next()):
            pass
        return message

    async def closed(self) -> tuple[int, str]:
        """Read until the server closes; return its code and reason."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await self.next()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    @property
    def told(self) -> list[dict[str, Any]]:
        return [message for message in self.heard if isinstance(message, dict)]


@asynccontextmanager
async def exchanging(url: str, **options: Any) -> AsyncIterator[Exchange]:
    async with connect(url, proxy=None, max_size=1 << 20, **options) as socket:
        yield Exchange(socket)


async def native_audio(server: Server, text: str, **options: Any) -> bytes:
    """Return the native websocket's audio for a text."""
    async with talking(server.ws_url) as talk:
        end = await talk.speak(text, **options)
        assert end["type"] == "done"
        return talk.audio()


def active(server: Server) -> int:
    """Return the number of active and queued utterances of all workers."""
    return sum(worker["active"] + worker["queued"] for worker in server.workers())


def kill_worker(server: Server) -> None:
    """Kill the worker that is speaking."""
    [worker] = server.workers()
    os.kill(worker["pid"], signal.SIGKILL)


def contexts(server: Server) -> int:
    """Return the number of open contexts."""
    return int(server.metric("dia_contexts"))
