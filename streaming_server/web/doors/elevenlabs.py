"""ElevenLabs' websockets, `multi-stream-input` and `stream-input`: base64 audio and character times."""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from streaming_server.audio import Frame, FrameEncoder
from streaming_server.container import AudioFormat, ContainerWriter
from streaming_server.context import Broken, End, WordTime
from streaming_server.errors import BadValue, SpeechError, TooSlow, Unauthorized
from streaming_server.types import Encoding, Generation
from streaming_server.web.connection import Connection
from streaming_server.web.doors.alignment import Alignment, Characters
from streaming_server.web.doors.entrance import Door, Refusal
from streaming_server.web.doors.markup import TagFilter
from streaming_server.web.doors.session import Session, read_name, read_object, understood
from streaming_server.web.doors.turn import Joining, Turn
from streaming_server.web.parts import Parts

MESSAGE_MS = 500
"""Longest audio of one message, in milliseconds, where it can be cut."""
LONGEST_PATIENCE_S = 180.0
"""The vendor's own longest `inactivity_timeout`; clients ask for more."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """How the audio is sent. sample_rate in Hz, bit_rate in bits per second.

    encoding: of the samples, which are then the body itself where there is no container.
    """

    sample_rate: int
    encoding: Encoding = "pcm_s16le"
    container: AudioFormat | None = None
    bit_rate: int | None = None


def output_formats() -> dict[str, OutputFormat]:
    """Every `output_format`, by its name."""
    formats = {f"pcm_{rate}": OutputFormat(rate) for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)}
    formats["ulaw_8000"] = OutputFormat(8000, "mulaw")
    formats["alaw_8000"] = OutputFormat(8000, "alaw")
    mp3 = [(22050, 32), (24000, 48), *((44100, kbits) for kbits in (32, 64, 96, 128, 192))]
    for rate, kbits in mp3:
        formats[f"mp3_{rate}_{kbits}"] = OutputFormat(rate, container="mp3", bit_rate=1000 * kbits)
    for kbits in (32, 64, 96, 128, 192):
        formats[f"opus_48000_{kbits}"] = OutputFormat(48000, container="opus", bit_rate=1000 * kbits)
    return formats


def output_format(name: str | None) -> OutputFormat:
    """The format of that name; mp3 as the vendor's own service has it where none is said. Raises BadValue."""
    formats = output_formats()
    if (found := formats.get(name or "mp3_44100_128")) is None:
        raise BadValue("output_format: one of " + ", ".join(formats) + ".")
    return found


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class VoiceSettings(_Model):
    speed: float | None = Field(None, ge=0.25, le=4.0)


class Query(_Model):
    """What of the handshake's query means something here."""

    output_format: str | None = None
    language_code: str | None = Field(None, max_length=35)
    auto_mode: bool = False
    inactivity_timeout: float = Field(20.0, gt=0)
    seed: int | None = Field(None, ge=0, lt=2**63)


class Message(_Model):
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


class Context(Turn):
    """A turn with its character times, and its container where the format has one."""

    def __init__(self, *arguments: Any, audio: OutputFormat, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.alignment = Alignment(audio.sample_rate)
        self.writer: ContainerWriter | None = None
        self._tags = TagFilter()
        if audio.container is not None:
            self.writer = ContainerWriter(audio.container, audio.sample_rate, bit_rate=audio.bit_rate)

    @property
    def speaking(self) -> bool:
        """Whether it owes the client something, whatever the client says."""
        return bool(self.flushes) or self.context.finished

    def append(self, text: str) -> None:
        super().append(self._tags.push(text))

    def flush(self) -> None:
        super().append(self._tags.finish())
        super().flush()

    def finish(self) -> None:
        """No more text. Raises as `append` and `SpeechContext.finish` do."""
        super().append(self._tags.finish())
        self.context.finish()


class MultiStreamSession(Session[Context]):
    """One client of `multi-stream-input`. Names are kept under "" where the client gives none."""

    def __init__(
        self, parts: Parts, connection: Connection, manner: Manner, place: ExitStack | None = None
    ) -> None:
        super().__init__(parts, connection)
        self._manner = manner
        self._place = place
        self._open: dict[str, Context] = {}
        self._leaving: dict[str, Context] = {}
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
        await self.send_away(TooSlow(f"Nothing came for {patience_s:g} seconds."))

    async def _authenticate(self, place: ExitStack) -> bool:
        """Wait for the key in the first message, which is then obeyed as any other."""
        with anyio.move_on_after(self.parts.settings.auth_timeout_s):
            if (raw := await self.connection.receive()) is None:
                return False
            try:
                message = read_object(raw)
                self.parts.guard.check_key(_key_in(message))
                place.close()
                place.enter_context(self.parts.guard.speaking(self.parts.pool.has_room))
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
            self.converse(name, understood(Message, message))
        except SpeechError as error:
            if (turn := self._open.get(name)) is not None:
                turn.context.fail(error.code, error.message, error.retryable)
                return
            self.note_failed(name)
            error.context = name
            raise

    def name_of(self, message: dict[str, Any]) -> str:
        """Whose a message is. Raises BadValue."""
        return read_name(message, "context_id", "contextId") or ""

    def converse(self, name: str, message: Message) -> None:
        """Do what a message asks of a context, or of all."""
        if message.close_socket:
            for every in list(self._open):
                self._close(every)
            self.close_when_quiet()
        elif message.close_context:
            if not self.swallowed(name, ends=True):
                self._say_to(name, message)
                self._close(name)
        elif not self.swallowed(name, ends=False):
            self._say_to(name, message)

    def _say_to(self, name: str, message: Message) -> None:
        """Text for a context, which it may be opened by. Without any it is kept alive, if it is there."""
        turn = self._open.get(name)
        if turn is None and message.text and not message.close_context:
            turn = self._begin(name, message.voice_settings)
        if turn is None:
            return
        with turn.blamed():
            if message.text and (turn.unflushed or not message.text.isspace()):
                turn.append(message.text)
            if message.flush:
                turn.flush()

    def _begin(self, name: str, settings: VoiceSettings | None) -> Context:
        self.check_space()
        manner = self._manner
        speed = settings.speed if settings else None
        sample_rate = manner.format.sample_rate
        turn = Context(
            name,
            self.parts.contexts.open(
                self.engine, manner.voice, Generation(speed=speed).over(manner.generation)
            ),
            FrameEncoder(self.engine.sample_rate, sample_rate, manner.format.encoding),
            sample_rate,
            joining=manner.joining,
            max_text=self.parts.settings.max_text_characters,
            before=self._leaving.get(name),
            audio=manner.format,
        )
        self._open[name] = turn
        self.start(turn)
        return turn

    def _close(self, name: str) -> None:
        """Let a context that was flushed come to its end, and end one that was not.

        To close one again that is coming to its end is to end it now. So clients that close a context at the
        end of each turn are heard out, and those that close it to interrupt are obeyed.
        """
        if (turn := self._open.pop(name, None)) is not None:
            if turn.unflushed:
                turn.context.cancel()
            else:
                with turn.blamed():
                    turn.finish()
            self._leaving[name] = turn
        elif (turn := self._leaving.get(name)) is not None:
            turn.context.cancel()

    def finish(self, name: str) -> None:
        """No more text for a context; all of it will be heard."""
        if (turn := self._open.pop(name, None)) is not None:
            with turn.blamed():
                turn.finish()
            self._leaving[name] = turn

    def forget(self, turn: Context) -> None:
        assert turn.name is not None
        for names in (self._open, self._leaving):
            if names.get(turn.name) is turn:
                del names[turn.name]
        if turn.writer is not None:
            turn.writer.close()

    # Writing.

    async def words(self, turn: Context, times: tuple[WordTime, ...]) -> None:
        turn.alignment.add(turn.words(times))

    async def sound(self, turn: Context, frames: list[Frame]) -> None:
        first = frames[0].first_sample
        samples = sum(frame.samples for frame in frames)
        data = b"".join(frame.data for frame in frames)
        if turn.writer is not None:
            if coded := turn.writer.push(data):
                await self._say(turn, coded, turn.alignment.take(first + samples))
            return
        width = len(data) // samples
        for start, end in pairwise(self._cuts(turn, first, first + samples)):
            piece = data[(start - first) * width : (end - first) * width]
            await self._say(turn, piece, turn.alignment.take(end))

    def _cuts(self, turn: Context, first: int, last: int) -> list[int]:
        """Where to cut audio: between words, so that each message begins with the characters it tells of."""
        most = turn.sample_rate * MESSAGE_MS // 1000
        cuts = [first]
        for cut in [*turn.alignment.cuts(first, last), last]:
            while cut - cuts[-1] > most:
                cuts.append(cuts[-1] + most)
            cuts.append(cut)
        return cuts

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
            await self.connection.say(self._error(end.message, end.code, turn.name))
        else:
            await self.connection.say({"audio": None, "isFinal": True, **self.about(turn.name)})

    async def spoken(self, turn: Context) -> None:
        rest = turn.writer.finish() if turn.writer is not None else b""
        characters = turn.alignment.take()
        if rest or characters is not None:
            await self._say(turn, rest, characters)

    async def report(self, error: SpeechError) -> None:
        await self.connection.say(self._error(error.message, error.code, error.context))

    def _error(self, message: str, code: str, name: str | None) -> dict[str, Any]:
        return {"error": message, "message": message, "code": code, **self.about(name)}

    def about(self, name: str | None) -> dict[str, Any]:
        """How a message says whose it is."""
        return {"contextId": name or None}


class StreamSession(MultiStreamSession):
    """One client of `stream-input`: one context, which empty text ends, and the connection with it."""

    def name_of(self, message: dict[str, Any]) -> str:
        return ""

    def converse(self, name: str, message: Message) -> None:
        if message.text != "":
            super().converse(name, message)
            return
        if not self.swallowed(name, ends=True):
            self.finish(name)
        self.close_when_quiet()

    def about(self, name: str | None) -> dict[str, Any]:
        return {}


def _key(request: HTTPConnection) -> str | None:
    headers, query = request.headers, request.query_params
    return headers.get("xi-api-key") or query.get("xi-api-key") or query.get("single_use_token")


def _key_in(message: dict[str, Any]) -> str | None:
    """The key in a first message."""
    for field in ("xi_api_key", "xi-api-key"):
        if isinstance(key := message.get(field), str):
            return key
    authorization = message.get("authorization")
    return authorization.removeprefix("Bearer ") if isinstance(authorization, str) else None


def _manner(request: HTTPConnection, parts: Parts) -> Manner:
    """Raises BadValue, UnknownVoice."""
    voice = request.path_params["voice"]
    parts.catalogue.find(voice)
    query = understood(Query, dict(request.query_params))
    return Manner(
        voice,
        Generation(language=query.language_code or None, seed=query.seed),
        output_format(query.output_format),
        "sentences" if query.auto_mode else "verbatim",
        min(query.inactivity_timeout, LONGEST_PATIENCE_S),
    )


def _begin_multi(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> MultiStreamSession:
    return MultiStreamSession(parts, connection, _manner(request, parts), place)


def _begin_single(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> StreamSession:
    return StreamSession(parts, connection, _manner(request, parts), place)


def _refusal(error: SpeechError) -> Refusal:
    return Refusal({"detail": {"status": error.code, "message": error.message}})


multi_stream_input = Door(_key, _begin_multi, _refusal, late_key=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/multi-stream-input`."""

stream_input = Door(_key, _begin_single, _refusal, late_key=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/stream-input`."""
