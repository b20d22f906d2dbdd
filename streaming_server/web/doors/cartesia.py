"""Cartesia's websocket, `/tts/websocket`: contexts, base64 audio, word timestamps."""

from __future__ import annotations

import uuid
from base64 import b64encode
from contextlib import ExitStack
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from streaming_server.audio import Frame, FrameEncoder
from streaming_server.context import Broken, Done, End, WordTime
from streaming_server.errors import SpeechError
from streaming_server.types import Encoding, Generation
from streaming_server.web.connection import Connection
from streaming_server.web.doors.entrance import Door, Refusal
from streaming_server.web.doors.session import Session, read_name, status_of, understood
from streaming_server.web.doors.turn import Turn
from streaming_server.web.guard import key_of
from streaming_server.web.messages import SampleRate
from streaming_server.web.parts import Parts

CHUNK_MS = 500
"""Longest chunk of audio, in milliseconds."""

ENCODINGS: dict[str, Encoding] = {
    "pcm_s16le": "pcm_s16le",
    "pcm_f32le": "pcm_f32le",
    "pcm_mulaw": "mulaw",
    "pcm_alaw": "alaw",
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class OutputFormat(_Model):
    container: Literal["raw"] = "raw"
    encoding: Literal["pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"] = "pcm_s16le"
    sample_rate: SampleRate


class VoiceChoice(_Model):
    mode: Literal["id"] = "id"
    id: str = Field(min_length=1, max_length=128)


class GenerationConfig(_Model):
    speed: float | None = Field(None, ge=0.25, le=4.0)


class Piece(_Model):
    """More of a context's text."""

    transcript: str = ""
    continue_: bool | None = Field(None, alias="continue")
    flush: bool | None = None


class Options(_Model):
    """How a context speaks. They come with every piece of its text; those of the first count."""

    voice: VoiceChoice
    output_format: OutputFormat
    language: str | None = Field(None, max_length=35)
    add_timestamps: bool | None = None
    max_buffer_delay_ms: float | None = None
    generation_config: GenerationConfig | None = None

    @property
    def generation(self) -> Generation:
        config = self.generation_config
        return Generation(language=self.language or None, speed=config.speed if config else None)


class Context(Turn):
    """flush_id: how many flushes have been answered, and one more."""

    timestamps: bool = False
    flush_id: int = 1


class CartesiaSession(Session[Context]):
    """One client."""

    def __init__(self, parts: Parts, connection: Connection) -> None:
        super().__init__(parts, connection)
        self._open: dict[str, Context] = {}
        self._leaving: dict[str, Context] = {}

    async def obey(self, message: dict[str, Any]) -> None:
        name = read_name(message, "context_id") or str(uuid.uuid4())
        if message.get("cancel"):
            self._cancel(name)
            return
        if self.swallowed(name, ends=not message.get("continue")):
            return
        try:
            await self._speak(name, message)
        except SpeechError as error:
            if (turn := self._open.get(name)) is not None:
                turn.context.fail(error.code, error.message, error.retryable)
                return
            if message.get("continue"):
                self.note_failed(name)
            error.context = name
            raise

    async def _speak(self, name: str, message: dict[str, Any]) -> None:
        turn = self._open.get(name)
        piece = understood(Piece, message)
        if turn is None and not piece.continue_ and (not piece.transcript or piece.transcript.isspace()):
            await self._say_done(name)  # The end of nothing, whose options mean nothing either.
            return
        if turn is None:
            turn = self._begin(name, understood(Options, message))
        if turn.context.finished and not piece.transcript:
            return  # The end, said twice.
        with turn.blamed():
            turn.append(piece.transcript)
            if piece.flush:
                turn.flush()
            if not piece.continue_:
                turn.context.finish()

    def _begin(self, name: str, options: Options) -> Context:
        self.check_space()
        sample_rate = options.output_format.sample_rate
        turn = Context(
            name,
            self.parts.contexts.open(self.engine, options.voice.id, options.generation),
            FrameEncoder(self.engine.sample_rate, sample_rate, ENCODINGS[options.output_format.encoding]),
            sample_rate,
            joining="sentences" if options.max_buffer_delay_ms == 0 else "verbatim",
            max_text=self.parts.settings.max_text_characters,
            before=self._leaving.get(name),
        )
        turn.timestamps = bool(options.add_timestamps)
        self._open[name] = turn
        self.start(turn)
        return turn

    def _cancel(self, name: str) -> None:
        """Nothing is said of it: clients take whatever still comes for the next context's."""
        self.swallowed(name, ends=True)
        if (turn := self._open.pop(name, None)) is not None:
            turn.context.cancel()
            self._leaving[name] = turn

    def forget(self, turn: Context) -> None:
        assert turn.name is not None
        for names in (self._open, self._leaving):
            if names.get(turn.name) is turn:
                del names[turn.name]

    async def sound(self, turn: Context, frames: list[Frame]) -> None:
        most = turn.sample_rate * CHUNK_MS // 1000
        pieces: list[bytes | memoryview] = []
        samples = 0
        for frame in frames:
            if samples + frame.samples > most:
                await self._chunk(turn, b"".join(pieces))
                pieces, samples = [], 0
            pieces.append(frame.data)
            samples += frame.samples
        await self._chunk(turn, b"".join(pieces))

    async def _chunk(self, turn: Context, data: bytes) -> None:
        if not turn.context.stopped:
            await self._say(
                turn, "chunk", data=b64encode(data).decode(), step_time=0.0, flush_id=turn.flush_id
            )

    async def words(self, turn: Context, times: tuple[WordTime, ...]) -> None:
        if turn.timestamps and not turn.context.stopped:
            words = turn.words(times)
            timestamps = {
                "words": [word.text for word in words],
                "start": [round(word.start / turn.sample_rate, 4) for word in words],
                "end": [round(word.end / turn.sample_rate, 4) for word in words],
            }
            await self._say(turn, "timestamps", word_timestamps=timestamps, flush_id=turn.flush_id)

    async def flushed(self, turn: Context) -> None:
        await self._say(turn, "flush_done", flush_id=turn.flush_id, flush_done=True)
        turn.flush_id += 1

    async def ended(self, turn: Context, end: End) -> None:
        assert turn.name is not None
        if isinstance(end, Broken):
            if not turn.context.finished:
                self.note_failed(turn.name)
            await self.connection.say(_error(end.code, end.message, status_of(end.code) or 500, turn.name))
        elif isinstance(end, Done):
            await self._say_done(turn.name)

    async def report(self, error: SpeechError) -> None:
        await self.connection.say(_error(error.code, error.message, error.http_status, error.context))

    async def _say_done(self, name: str) -> None:
        await self.connection.say({"type": "done", "context_id": name, "done": True, "status_code": 200})

    async def _say(self, turn: Context, kind: str, **fields: Any) -> None:
        about = {"type": kind, "context_id": turn.name, "done": False, "status_code": 206}
        await self.connection.say({**about, **fields})


def _error(code: str, message: str, status: int, context: str | None) -> dict[str, Any]:
    """As the websocket tells it. `context_id` is there always: clients index it."""
    return {"type": "error", "context_id": context, "done": True, **_details(code, message, status)}


def _details(code: str, message: str, status: int) -> dict[str, Any]:
    return {
        "status_code": status,
        "title": code.replace("_", " ").capitalize(),
        "message": message,
        "error": message,
        "error_code": code,
        "request_id": str(uuid.uuid4()),
    }


def key_in(request: HTTPConnection) -> str | None:
    """Cartesia's own places of a key, or ours."""
    return (
        request.headers.get("x-api-key")
        or request.query_params.get("access_token")
        or request.query_params.get("api_key")
        or key_of(request)
    )


def _begin(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> CartesiaSession:
    return CartesiaSession(parts, connection)


def _refusal(error: SpeechError) -> Refusal:
    return Refusal(_details(error.code, error.message, error.http_status))


tts_websocket = Door(key_in, _begin, _refusal)
"""The ASGI endpoint."""
