"""A client of the native websocket."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect

from streaming_server.audio.frames import FRAME_HEADER

PATIENCE_S = 20.0


@dataclass(slots=True)
class Frame:
    handle: int
    sequence: int
    first_sample: int
    data: bytes
    at: float


@dataclass(slots=True)
class Talk:
    """Sends messages and records all received ones."""

    socket: ClientConnection
    ready: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    order: list[dict[str, Any] | Frame] = field(default_factory=list)

    async def send(self, type_: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def next(self) -> dict[str, Any] | Frame:
        """Return the next message of any kind."""
        with anyio.fail_after(PATIENCE_S):
            raw = await self.socket.recv()
        if isinstance(raw, bytes):
            kind, _, handle, sequence, first = FRAME_HEADER.unpack_from(raw)
            assert kind == 1
            frame = Frame(handle, sequence, first, raw[FRAME_HEADER.size :], time.monotonic())
            self.frames.append(frame)
            self.order.append(frame)
            return frame
        event: dict[str, Any] = json.loads(raw)
        self.events.append(event)
        self.order.append(event)
        return event

    async def until(self, wanted: str | Callable[[dict[str, Any]], bool], **fields: Any) -> dict[str, Any]:
        """Read until an event of this type with these fields; return it."""
        while True:
            event = await self.next()
            if isinstance(event, dict) and (
                event["type"] == wanted if isinstance(wanted, str) else wanted(event)
            ):
                if all(event.get(name) == value for name, value in fields.items()):
                    return event

    async def first_frame(self) -> Frame:
        while not isinstance(message := await self.next(), Frame):
            pass
        return message

    async def end(self, context: str = "default") -> dict[str, Any]:
        """Read until the context ends; return its last event."""
        return await self.until(
            lambda event: event["type"] in ("done", "cancelled", "error"), context=context
        )

    async def nothing_more(self, context: str = "default") -> None:
        """Check that no message of a context arrives before the answer to a ping sent now."""
        handle = self.started(context)["handle"]
        seen, heard = len(self.events), len(self.frames)
        await self.send("ping", id=seen)
        await self.until("pong", id=seen)
        assert not [event for event in self.events[seen:] if event.get("context") == context]
        assert not [frame for frame in self.frames[heard:] if frame.handle == handle]

    async def speak(self, text: str, context: str = "default", **options: Any) -> dict[str, Any]:
        """Speak a text and read to its end."""
        await self.send("speak", context=context, text=text, **options)
        return await self.end(context)

    def started(self, context: str = "default") -> dict[str, Any]:
        return [e for e in self.events if e["type"] == "started" and e["context"] == context][-1]

    def of(self, type_: str, context: str = "default") -> list[dict[str, Any]]:
        return [e for e in self.events if e["type"] == type_ and e.get("context", "default") == context]

    def frames_of(self, context: str = "default") -> list[Frame]:
        handle = self.started(context)["handle"]
        return [frame for frame in self.frames if frame.handle == handle]

    def audio(self, context: str = "default") -> bytes:
        return b"".join(frame.data for frame in self.frames_of(context))


@asynccontextmanager
async def talking(ws_url: str, *, query: str = "", **options: Any) -> AsyncIterator[Talk]:
    """Connect and wait for `ready`."""
    async with connect(f"{ws_url}/ws/speak{query}", proxy=None, max_size=None, **options) as socket:
        talk = Talk(socket)
        event = await talk.next()
        assert isinstance(event, dict)
        talk.ready = event
        yield talk


async def native_words(ws_url: str, text: str, **options: Any) -> list[dict[str, Any]]:
    """Return the native websocket's words of a text: `text`, `start_ms`, `end_ms` and offsets."""
    async with talking(ws_url) as talk:
        end = await talk.speak(text, words=True, **options)
        assert end["type"] == "done"
        return [word for event in talk.of("words") for word in event["words"]]
