"""Many websockets of one server or gateway: speeches, idle ones and probes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from helpers.servers import Server
from helpers.talk import Talk, talking

SENTENCE = "The quick brown fox jumps over the lazy dog. "
"""About three seconds of speech."""


async def open_sockets(gateway: Server, count: int, stack: AsyncExitStack) -> list[Talk]:
    """Open websockets at the same time; `stack` closes them."""
    talks: list[Talk] = []

    async def open_one() -> None:
        talks.append(await stack.enter_async_context(talking(gateway.ws_url, open_timeout=30)))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(open_one)
    return talks


async def ends_of(talks: list[Talk], count: int) -> AsyncIterator[tuple[int, float]]:
    """Iterate over the first ends of these websockets: close code and time."""
    send, receive = anyio.create_memory_object_stream[tuple[int, float]](len(talks))

    async def wait(talk: Talk) -> None:
        await talk.socket.wait_closed()
        send.send_nowait((talk.socket.close_code or 0, time.monotonic()))

    with send, receive:
        async with anyio.create_task_group() as group:
            for talk in talks:
                group.start_soon(wait, talk)
            for _ in range(count):
                with anyio.fail_after(10):
                    yield await receive.receive()
            group.cancel_scope.cancel()


@dataclass(slots=True)
class Speech:
    """A speech that is sent little ahead of real time. end: `done`, or `cut` by the end of its socket."""

    talk: Talk
    end: str = ""
    audio: bytes = b""

    @classmethod
    async def begin(cls, gateway: Server, stack: AsyncExitStack, sentences: int) -> Speech:
        """Begin a speech; return when its first audio is there."""
        talk = await stack.enter_async_context(talking(gateway.ws_url))
        await talk.send("speak", text=SENTENCE * sentences, max_lead_ms=500)
        await talk.first_frame()
        return cls(talk)

    async def listen(self) -> None:
        """Read to the end."""
        try:
            self.end = (await self.talk.end())["type"]
        except ConnectionClosed:
            self.end = "cut"
        self.audio = self.talk.audio()


async def listen_to(speeches: list[Speech]) -> None:
    """Read all speeches to their ends, at the same time."""
    async with anyio.create_task_group() as group:
        for speech in speeches:
            group.start_soon(speech.listen)


@dataclass(slots=True)
class Probes:
    """Handshakes in a row. refused: what those met that failed."""

    count: int = 0
    refused: list[Exception] = field(default_factory=list)

    async def at_least(self, count: int) -> None:
        """Wait for so many handshakes."""
        with anyio.fail_after(30):
            while self.count < count:
                await anyio.sleep(0.01)

    async def run(self, gateway: Server) -> None:
        while True:
            try:
                socket = await connect(f"{gateway.ws_url}/ws/speak", proxy=None, close_timeout=1)
            except (InvalidStatus, OSError) as error:
                self.refused.append(error)
            else:
                await socket.close()
            self.count += 1


@asynccontextmanager
async def probing(gateway: Server) -> AsyncIterator[Probes]:
    """Make one handshake after the other."""
    probes = Probes()
    async with anyio.create_task_group() as group:
        group.start_soon(probes.run, gateway)
        yield probes
        group.cancel_scope.cancel()
