"""Sessions of real services in this process, whose clients read when a test lets them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from streaming_server.engines.selection import select_engine
from streaming_server.settings import Settings
from streaming_server.web.assembly import running_services
from streaming_server.web.origins import Origins
from streaming_server.web.services import SpeechServices
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.session import Session

PATIENCE_S = 20.0


@asynccontextmanager
async def speech_services_in(folder: Path) -> AsyncIterator[SpeechServices]:
    """Run the services of a server that speaks with eSpeak NG."""
    settings = Settings(
        data_dir=folder / "data", engine="espeak", max_workers=1, whisper_model=str(folder / "no-weights.pt")
    )
    async with running_services(settings, select_engine("espeak"), Origins(settings)) as services:
        await services.speech.pool.engine()
        yield services.speech


@dataclass(slots=True)
class Client:
    """Sends messages as JSON, and records those it has read. While it does not read, the server waits."""

    sending: MemoryObjectSendStream[dict[str, Any]]
    incoming: MemoryObjectReceiveStream[dict[str, Any]]
    told: list[dict[str, Any]] = field(default_factory=list)
    reading: anyio.Event = field(default_factory=anyio.Event)
    heard: anyio.Event = field(default_factory=anyio.Event)
    waiting: anyio.Event = field(default_factory=anyio.Event)

    async def say(self, **message: Any) -> None:
        await self.sending.send({"type": "websocket.receive", "text": json.dumps(message)})

    def read(self) -> None:
        """Begin to read."""
        self.reading.set()

    async def pause(self) -> None:
        """Read nothing until `read`. Return when the server waits to send something."""
        self.reading, self.waiting = anyio.Event(), anyio.Event()
        with anyio.fail_after(PATIENCE_S):
            await self.waiting.wait()

    async def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait for a matching message, of those since the last call as well; return it."""
        with anyio.fail_after(PATIENCE_S):
            while (found := next((message for message in self.told if wanted(message)), None)) is None:
                await self.heard.wait()
        return found

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.receive()

    async def send(self, event: Any) -> None:
        if not self.reading.is_set():
            self.waiting.set()
            await self.reading.wait()
        if isinstance(event.get("text"), str):
            self.told.append(json.loads(event["text"]))
            self.heard.set()
            self.heard = anyio.Event()


@asynccontextmanager
async def client_of(
    make: Callable[[Connection], Session[Any]],
) -> AsyncIterator[tuple[Client, Session[Any]]]:
    """Run a session with a client, which reads at first."""
    sending, incoming = anyio.create_memory_object_stream[dict[str, Any]](1000)
    client = Client(sending, incoming)
    client.read()
    connection = Connection(client.receive, client.send)
    session = make(connection)
    async with anyio.create_task_group() as group:
        group.start_soon(partial(connection.serve, session.run))
        with sending, incoming:
            yield client, session
            connection.end()
            client.read()
