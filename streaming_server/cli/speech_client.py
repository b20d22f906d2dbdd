"""A text over the native websocket: it is sent, and its audio written, as it arrives."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streaming_server.audio.frames import FRAME_HEADER
from streaming_server.cli.audio_file import PIECE_BYTES, SpeechFile
from streaming_server.cli.input_text import InputText
from streaming_server.errors import Draining, SpeechError, Unavailable

ANSWER_TIMEOUT_S = 60.0
"""Seconds to wait for a message once the whole text was sent."""
RATE_SHARE = 0.9
"""Share of the server's message rate to use; clocks and networks are uneven."""
BURST_S = 0.5
"""Messages that may be sent at once, in seconds of that rate; the server takes those of two."""
STILL_S = 15.0
"""A reader of a pipe that reads nothing for this long may have kept pings from being answered."""
RECEIVE_BYTES = 65536
"""Audio that waits for the reader of a pipe, half of what the kernel then takes.

More would delay the answers to the server's pings; windows of less than a loopback segment, a quarter of
this, slow a fast reader down to three times real time.
"""


class ServerRestarts(Unavailable):
    """The server closed the connection because it restarts."""


class SpeechClient:
    """Speaks a text into a file over a connection, with progress on the console.

    A text that is longer than the server takes in one context is spoken in several, one after the other.

    started_at, first_audio_at: when the first text was sent and the first audio arrived, in monotonic
    seconds; None before.
    """

    def __init__(self, socket: ClientConnection, text: InputText, out: SpeechFile, console: Console) -> None:
        self._socket = socket
        self._text = text
        self._out = out
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[seconds]:.1f} s"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=text.is_typed or not console.is_terminal,  # it would erase the line that is being typed
        )
        self._next_at = 0.0
        self._stood_still_at = float("-inf")
        self.started_at: float | None = None
        self.first_audio_at: float | None = None

    async def speak(self, start: Mapping[str, Any]) -> None:
        """Speak the text with the options of `start`, to its end.

        Raise ServerRestarts, another SpeechError, ConnectionClosed and TimeoutError.
        """
        if self._out.is_pipe:
            connection: sockets.socket = self._socket.transport.get_extra_info("socket")
            connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BYTES)
        ready = await self._ready()
        self._out.begin(int(ready["sample_rate"]))
        try:
            with self._progress:
                bar = self._progress.add_task("speaking", total=self._text.characters, seconds=0.0)
                end = 0
                while self._text.characters is None or end < self._text.characters:
                    end = await self._speak_from(end, start, ready["limits"], bar)
        except ConnectionClosed:
            if time.monotonic() < self._stood_still_at + ANSWER_TIMEOUT_S:
                raise SpeechError("The program reading the audio stopped reading for too long.") from None
            raise
        self._out.finish()

    async def _ready(self) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):  # wait_for of 3.11 loses a Ctrl-C now and then
            ready: dict[str, Any] = orjson.loads(await self._socket.recv())
        if ready["type"] == "error":
            raise SpeechError(ready["message"])
        if notice := ready.get("notice"):
            self._console.print(notice)
        return ready

    async def _speak_from(
        self, begin: int, start: Mapping[str, Any], limits: Mapping[str, float], bar: TaskID
    ) -> int:
        """Speak the text from `begin` on in one context. Return where in the text it ends."""
        tag = self._text.speaker_at(begin)
        recording = asyncio.create_task(self._record(begin - len(tag), bar))
        sending = asyncio.create_task(self._send(begin, tag, start, limits))
        try:
            await asyncio.wait((recording, sending), return_when=asyncio.FIRST_EXCEPTION)
            if recording.done():
                recording.result()
            return await sending
        finally:
            recording.cancel()
            sending.cancel()
            await asyncio.gather(recording, sending, return_exceptions=True)

    async def _send(self, begin: int, tag: str, start: Mapping[str, Any], limits: Mapping[str, float]) -> int:
        """Send the text from `begin` on, after `tag`, in one context. Return where in the text it ends."""
        most = max(1, int(limits["context_characters"]) - len(tag))
        longest = max(1, int(limits["text_characters"]) - len(tag))
        end = begin
        with suppress(ConnectionClosed):  # `_record` reports it, after what the server said before.
            await self._say(limits, type="start", **start)
            async for piece in self._text.pieces(longest, begin, most):
                self.started_at = self.started_at or time.monotonic()
                await self._say(limits, type="text", text=piece if end > begin else tag + piece)
                end += len(piece)
            await self._say(limits, type="finish")
        return end

    async def _say(self, limits: Mapping[str, float], **message: Any) -> None:
        """Send a message, not faster than the server takes them."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self._next_at - now)
        self._next_at = max(now - BURST_S, self._next_at) + 1 / (RATE_SHARE * limits["messages_per_second"])
        await self._socket.send(orjson.dumps(message).decode())

    async def _record(self, begin: int, bar: TaskID) -> None:
        """Write the audio of one context. begin: where in the text that begins."""
        while True:
            received = await self._receive()
            if isinstance(received, bytes):
                await self._write(received[FRAME_HEADER.size :])
                self._progress.update(bar, seconds=self._out.seconds, total=self._text.characters)
                continue
            event = orjson.loads(received)
            match event["type"]:
                case "started" if begin <= 0 and (ignored := event.get("ignored")):
                    self._console.print(f"This engine ignores: {', '.join(ignored)}.")
                case "sentence":
                    self._progress.update(bar, completed=begin + event["start"])
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

    async def _write(self, pcm: bytes) -> None:
        self.first_audio_at = self.first_audio_at or time.monotonic()
        for at in range(0, len(pcm), PIECE_BYTES):
            before = time.monotonic()
            await self._out.until_writable()
            if (now := time.monotonic()) - before > STILL_S:
                self._stood_still_at = now
            self._out.write(pcm[at : at + PIECE_BYTES])
