"""One turn over the native websocket: text is sent, and audio written, as it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streaming_server.audio.frames import FRAME_HEADER
from streaming_server.cli.audio_file import SpeechFile
from streaming_server.cli.input_text import InputText
from streaming_server.errors import Draining, SpeechError, Unavailable

ANSWER_TIMEOUT_S = 60.0
"""Seconds to wait for a message once the whole text was sent."""
RATE_SHARE = 0.9
"""Share of the server's message rate to use; clocks and networks are uneven."""


class ServerRestarts(Unavailable):
    """The server closed the connection because it restarts."""


class SpokenTurn:
    """A text that is spoken into a file over a connection, with progress on the console.

    started_at, first_audio_at: when the first text was sent and the first audio arrived, in monotonic
    seconds; None before.
    """

    def __init__(self, socket: ClientConnection, text: InputText, out: SpeechFile, console: Console) -> None:
        self._socket = socket
        self._text = text
        self._out = out
        self._console = console
        self.started_at: float | None = None
        self.first_audio_at: float | None = None

    async def speak(self, start: Mapping[str, Any]) -> None:
        """Speak the text with the options of `start`, to its end.

        Raise ServerRestarts, another SpeechError, ConnectionClosed and TimeoutError.
        """
        ready = await self._ready()
        self._out.begin(int(ready["sample_rate"]))
        await self._socket.send(message(type="start", **start))
        recording = asyncio.create_task(self._record())
        sending = asyncio.create_task(self._send(ready["limits"]))
        try:
            await asyncio.wait((recording, sending), return_when=asyncio.FIRST_EXCEPTION)
            for task in (recording, sending):
                if task.done():
                    task.result()
        finally:
            recording.cancel()
            sending.cancel()
            await asyncio.wait((recording, sending))
        self._out.finish()

    async def _ready(self) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):  # wait_for of 3.11 loses a Ctrl-C now and then
            ready: dict[str, Any] = orjson.loads(await self._socket.recv())
        if ready["type"] == "error":
            raise SpeechError(ready["message"])
        if notice := ready.get("notice"):
            self._console.print(notice)
        return ready

    async def _send(self, limits: Mapping[str, float]) -> None:
        interval_s = 1 / (RATE_SHARE * limits["messages_per_second"])
        with suppress(ConnectionClosed):  # `_record` reports it, after what the server said before.
            async for piece in self._text.pieces(int(limits["text_characters"])):
                self.started_at = self.started_at or time.monotonic()
                await self._socket.send(message(type="text", text=piece))
                await asyncio.sleep(interval_s)
            await self._socket.send(message(type="finish"))

    async def _record(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[seconds]:.1f} s"))
        with Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True) as progress:
            bar = progress.add_task("speaking", total=self._text.characters, seconds=0.0)
            while True:
                received = await self._receive()
                if isinstance(received, bytes):
                    self._write(received)
                    progress.update(bar, seconds=self._out.seconds)
                    continue
                event = orjson.loads(received)
                match event["type"]:
                    case "started" if ignored := event.get("ignored"):
                        self._console.print(f"This engine ignores: {', '.join(ignored)}.")
                    case "sentence":
                        progress.update(bar, completed=event["start"], total=self._text.characters)
                    case "error":
                        kind = ServerRestarts if event["code"] == Draining.code else SpeechError
                        raise kind(event["message"])
                    case "done":
                        return

    async def _receive(self) -> str | bytes:
        while True:
            complete = self._text.characters is not None
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    return await self._socket.recv()
            except TimeoutError:
                if complete:
                    raise

    def _write(self, frame: bytes) -> None:
        self.first_audio_at = self.first_audio_at or time.monotonic()
        self._out.write(frame[FRAME_HEADER.size :])


def message(**fields: Any) -> str:
    """Return a message to the server."""
    return orjson.dumps(fields).decode()
