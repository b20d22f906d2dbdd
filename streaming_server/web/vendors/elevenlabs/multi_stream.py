"""ElevenLabs' `multi-stream-input`: contexts, base64 audio, character times."""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import Field

from streaming_server.audio.frames import Frame, FrameEncoder
from streaming_server.context import Broken, End, WordTime
from streaming_server.errors import SpeechError, TooSlow, Unauthorized, error_of
from streaming_server.types import Generation
from streaming_server.web.services import Parts
from streaming_server.web.validation import validated
from streaming_server.web.vendors.elevenlabs.alignment import Characters
from streaming_server.web.vendors.elevenlabs.context import Context
from streaming_server.web.vendors.elevenlabs.formats import OutputFormat
from streaming_server.web.vendors.model import Model
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.named import NamedSession
from streaming_server.web.websocket.session import read_name, read_object
from streaming_server.web.websocket.turn import Joining

OPENING = " "
"""The text that opens a context."""


class VoiceSettings(Model):
    speed: float | None = Field(None, ge=0.25, le=4.0)


class Message(Model):
    """What of a message means something here, besides whose it is."""

    text: str | None = None
    flush: bool | None = None
    close_context: bool | None = None
    close_socket: bool | None = None
    voice_settings: VoiceSettings | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How one connection speaks: voice, options and format of all of its contexts.

    patience_s: how long the client may say nothing while it is told nothing.
    """

    voice: str
    generation: Generation
    format: OutputFormat
    joining: Joining
    patience_s: float


class MultiStreamSession(NamedSession[Context]):
    """One client of `multi-stream-input`. Names are kept under "" where the client gives none."""

    def __init__(
        self, parts: Parts, connection: Connection, manner: Manner, place: ExitStack | None = None
    ) -> None:
        super().__init__(parts, connection)
        self._manner = manner
        self._place = place
        self._busy_at = 0.0

    # Coming in, and staying.

    async def greet(self) -> bool:
        if self._place is not None and not await self._authenticate(self._place):
            return False
        self._busy_at = time.monotonic()
        self.connection.tasks.start_soon(self._watch_silence)
        return True

    async def _watch_silence(self) -> None:
        """Send a client away that has said nothing for long, while there was nothing to be told either."""
        patience_s = self._manner.patience_s
        while (left_s := self._busy_at + patience_s - time.monotonic()) > 0:
            await anyio.sleep(left_s)
            if any(turn.speaking for turn in self._turns):
                self._busy_at = time.monotonic()
        await self._dismiss(TooSlow(f"Nothing came for {patience_s:g} seconds."))

    async def _dismiss(self, error: SpeechError) -> None:
        """Close. A message comes before that only where a context is open: to clients that are idle it would
        be an error, and the code and the reason say the same."""
        if self._turns:
            await self.report(error)
        self.hang_up(error)

    async def _authenticate(self, place: ExitStack) -> bool:
        """Wait for the key in the first message, which is then obeyed as any other."""
        with anyio.move_on_after(self.parts.settings.auth_timeout_s):
            if (raw := await self.connection.receive()) is None:
                return False
            try:
                message = read_object(raw)
                self.parts.access.check_key(_key_in(message))
                place.close()
                place.enter_context(self.parts.limits.speaking(self.parts.pool.has_room))
            except SpeechError as error:
                self.parts.metrics.refused.labels(error.code).inc()
                await self.send_away(error)
                return False
            self.first = raw
            return True
        await self.send_away(Unauthorized("No key came in time."))
        return False

    # Reading.

    async def obey(self, message: dict[str, Any]) -> None:
        self._busy_at = time.monotonic()
        name = self.name_of(message)
        try:
            self.converse(name, validated(Message, message))
        except SpeechError as error:
            self.blame(name, error)

    def name_of(self, message: dict[str, Any]) -> str:
        """Whose a message is. Raises BadValue."""
        return read_name(message, "context_id", "contextId") or ""

    def converse(self, name: str, message: Message) -> None:
        """Do what a message asks of a context, or of all.

        What comes after a context failed is passed over to the end of its turn: to where it is closed or
        flushed, or opened again.
        """
        if message.close_socket:
            for turn in self.taking.values():
                turn.amid = False
            for every in list(self.taking):
                self._close(every)
            self.close_when_quiet()
            return
        if message.text == OPENING:
            self.forgive(name)
        if self.swallowed(name, ends=bool(message.close_context or (message.flush and not message.text))):
            return
        self._say_to(name, message)
        if message.close_context:
            self._close(name)

    def _say_to(self, name: str, message: Message) -> None:
        """Text for a context, which it may be opened by. Without any it is kept alive, if it is there."""
        turn = self.taking.get(name)
        if turn is None and message.text and not message.close_context:
            turn = self.begin(name, lambda: self._made(name, message.voice_settings), more=True)
        if turn is None:
            return
        with turn.blamed():
            if message.text and (turn.unflushed or not message.text.isspace()):
                turn.append(message.text)
            if message.flush:
                turn.flush()
                turn.amid = self._manner.joining == "sentences" and bool((message.text or "").strip())

    def _made(self, name: str, settings: VoiceSettings | None) -> Context:
        manner = self._manner
        speed = settings.speed if settings else None
        sample_rate = manner.format.sample_rate
        return Context(
            name,
            self.parts.contexts.open(
                self.engine, manner.voice, Generation(speed=speed).over(manner.generation)
            ),
            FrameEncoder(self.engine.sample_rate, sample_rate, manner.format.encoding),
            sample_rate,
            joining=manner.joining,
            max_text=self.parts.settings.max_text_characters,
            before=self.leaving.get(name),
            audio=manner.format,
            coding=self.parts.coding,
        )

    def _close(self, name: str) -> None:
        """Let a context that was flushed come to its end, and end one that was not.

        To close one again that is coming to its end is to end it now. So clients that close a context at the
        end of each turn are heard out, and those that close it to interrupt are obeyed. Those that send whole
        sentences flush each as it comes, and once more without text when they were all; without that last
        flush they interrupt.
        """
        if (turn := self.taking.pop(name, None)) is not None:
            if turn.unflushed or turn.amid:
                turn.context.cancel()
            else:
                with turn.blamed():
                    turn.finish()
            self.leaving[name] = turn
        elif (turn := self.leaving.get(name)) is not None:
            turn.context.cancel()

    def finish(self, name: str) -> None:
        """No more text for a context; all of it will be heard."""
        if (turn := self.taking.pop(name, None)) is not None:
            with turn.blamed():
                turn.finish()
            self.leaving[name] = turn

    def forget(self, turn: Context) -> None:
        super().forget(turn)
        turn.close()

    # Writing.

    async def words(self, turn: Context, times: tuple[WordTime, ...]) -> None:
        turn.alignment.add(turn.words(times))

    async def sound(self, turn: Context, frames: list[Frame]) -> None:
        for data, characters in await turn.coded(frames):
            await self._say(turn, data, characters)

    async def _say(self, turn: Context, data: bytes, characters: Characters | None) -> None:
        self._busy_at = time.monotonic()
        if not turn.context.stopped:
            await self.connection.say(
                {
                    "audio": b64encode(data).decode() if data else None,
                    "isFinal": None,
                    **self.about(turn.name),
                    "alignment": characters.relative if characters else None,
                    "normalizedAlignment": characters.absolute if characters else None,
                }
            )

    async def ended(self, turn: Context, end: End) -> None:
        assert turn.name is not None
        if isinstance(end, Broken):
            if not turn.context.finished:
                self.note_failed(turn.name)
            error = error_of(end.code)(end.message)
            error.context = turn.name
            await self.report(error)
        else:
            await self._say_final(turn.name)

    async def spoken(self, turn: Context) -> None:
        data, characters = await turn.rest()
        if data or characters is not None:
            await self._say(turn, data, characters)

    async def report(self, error: SpeechError) -> None:
        """Tell what was wrong, and that its context has ended: some clients know of errors, some of ends."""
        told = {"error": error.message, "message": error.message, "code": error.code}
        await self.connection.say({**told, **self.about(error.context)})
        if error.context is not None:
            await self._say_final(error.context)

    async def _say_final(self, name: str) -> None:
        await self.connection.say({"audio": None, "isFinal": True, **self.about(name)})

    def about(self, name: str | None) -> dict[str, Any]:
        """How a message says whose it is."""
        return {"contextId": name or None}


def _key_in(message: dict[str, Any]) -> str | None:
    """The key in a first message."""
    for field in ("xi_api_key", "xi-api-key"):
        if isinstance(key := message.get(field), str):
            return key
    authorization = message.get("authorization")
    return authorization.removeprefix("Bearer ") if isinstance(authorization, str) else None
