"""Cartesia's websocket, `/tts/websocket`: contexts, base64 audio, word timestamps."""

from __future__ import annotations

import uuid
from base64 import b64encode
from contextlib import ExitStack
from typing import Any, Literal

from pydantic import Field, model_validator
from starlette.requests import HTTPConnection

from streaming_server.audio.frames import Frame, FrameEncoder
from streaming_server.context import Broken, Done, End, WordTime
from streaming_server.errors import SpeechError, error_of
from streaming_server.types import Encoding, Generation
from streaming_server.web.native.messages import SampleRate
from streaming_server.web.services import Parts
from streaming_server.web.validation import validated
from streaming_server.web.vendors.model import Model
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Door, Refusal
from streaming_server.web.websocket.named import NamedSession
from streaming_server.web.websocket.session import read_name
from streaming_server.web.websocket.turn import Turn

CHUNK_MS = 500
"""Longest chunk of audio, in milliseconds."""

ENCODINGS: dict[str, Encoding] = {
    "pcm_s16le": "pcm_s16le",
    "pcm_f32le": "pcm_f32le",
    "pcm_mulaw": "mulaw",
    "pcm_alaw": "alaw",
}


class OutputFormat(Model):
    container: Literal["raw"] = "raw"
    encoding: Literal["pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"] = "pcm_s16le"
    sample_rate: SampleRate


class VoiceChoice(Model):
    """Clients of later versions send the id alone."""

    mode: Literal["id"] = "id"
    id: str = Field(min_length=1, max_length=128)

    @model_validator(mode="before")
    @classmethod
    def _of_an_id(cls, said: Any) -> Any:
        return {"id": said} if isinstance(said, str) else said


class GenerationConfig(Model):
    speed: float | None = Field(None, ge=0.25, le=4.0)


class Piece(Model):
    """More of a context's text."""

    transcript: str = ""
    continue_: bool | None = Field(None, alias="continue")
    flush: bool | None = None


class Options(Model):
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


class CartesiaSession(NamedSession[Context]):
    """One client."""

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
            self.blame(name, error)

    async def _speak(self, name: str, message: dict[str, Any]) -> None:
        turn = self.taking.get(name)
        piece = validated(Piece, message)
        if turn is None and not piece.continue_ and (not piece.transcript or piece.transcript.isspace()):
            await self._say_done(name)  # The end of nothing, whose options mean nothing either.
            return
        if turn is None:
            turn = self.begin(name, lambda: self._made(name, message), more=bool(piece.continue_))
        if turn.context.finished and not piece.transcript:
            return  # The end, said twice.
        with turn.blamed():
            turn.append(piece.transcript)
            if piece.flush:
                turn.flush()
            if not piece.continue_:
                turn.context.finish()

    def _made(self, name: str, message: dict[str, Any]) -> Context:
        options = validated(Options, message)
        sample_rate = options.output_format.sample_rate
        turn = Context(
            name,
            self.parts.contexts.open(self.engine, options.voice.id, options.generation),
            FrameEncoder(self.engine.sample_rate, sample_rate, ENCODINGS[options.output_format.encoding]),
            sample_rate,
            joining="sentences" if options.max_buffer_delay_ms == 0 else "verbatim",
            max_text=self.parts.settings.max_text_characters,
            before=self.leaving.get(name),
        )
        turn.timestamps = bool(options.add_timestamps)
        return turn

    def _cancel(self, name: str) -> None:
        """Nothing is said of it: clients take whatever still comes for the next context's."""
        self.swallowed(name, ends=True)
        if (turn := self.taking.pop(name, None)) is not None:
            turn.context.cancel()
            self.leaving[name] = turn

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
            await self.connection.say(told_of(error_of(end.code)(end.message), turn.name))
        elif isinstance(end, Done):
            await self._say_done(turn.name)

    async def report(self, error: SpeechError) -> None:
        await self.connection.say(told_of(error, error.context))

    async def _say_done(self, name: str) -> None:
        await self.connection.say({"type": "done", "context_id": name, "done": True, "status_code": 200})

    async def _say(self, turn: Context, kind: str, **fields: Any) -> None:
        about = {"type": kind, "context_id": turn.name, "done": False, "status_code": 206}
        await self.connection.say({**about, **fields})


def told_of(error: SpeechError, context: str | None) -> dict[str, Any]:
    """An error as a stream tells it. `context_id` is there always: clients index it.

    It ends the context, but is not `done`: LiveKit takes what is for a turn that was spoken whole.
    """
    about = {"type": "error", "context_id": context, "done": False, "status_code": error.http_status}
    return {**about, "error": error.message, **described(error)}


def described(error: SpeechError) -> dict[str, Any]:
    return {
        "error_code": error.code,
        "title": error.code.replace("_", " ").capitalize(),
        "message": error.message,
        "request_id": str(uuid.uuid4()),
    }


def key_in(request: HTTPConnection) -> str | None:
    """Cartesia's own places of a key."""
    query = request.query_params
    return request.headers.get("x-api-key") or query.get("access_token") or query.get("api_key")


def _begin(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> CartesiaSession:
    return CartesiaSession(parts, connection)


def _refusal(error: SpeechError) -> Refusal:
    return Refusal({**described(error), "status_code": error.http_status, "error": error.message})


tts_websocket = Door(key_in, _begin, _refusal)
"""The ASGI endpoint."""
