"""Cartesia's speech over HTTP, `POST /tts/bytes` and `POST /tts/sse`."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.audio.formats import AudioFormat, content_type
from streaming_server.context import WordTimes
from streaming_server.errors import SpeechError
from streaming_server.types import Generation
from streaming_server.web.native.messages import SampleRate
from streaming_server.web.openapi.operation import operation
from streaming_server.web.reading import Body, Reading, SpokenResponse, Wish
from streaming_server.web.requests import read_json
from streaming_server.web.services import parts_of
from streaming_server.web.vendors.cartesia import voices as cartesia_voices
from streaming_server.web.vendors.cartesia.websocket import (
    ENCODINGS,
    GenerationConfig,
    OutputFormat,
    VoiceChoice,
    described,
    key_in,
    told_of,
)
from streaming_server.web.vendors.http_door import HttpDoor, refused
from streaming_server.web.vendors.model import Model
from streaming_server.web.vendors.sound import headerless, wav
from streaming_server.web.websocket.turn import with_marks


class FileFormat(Model):
    container: Literal["raw", "wav", "mp3"]
    encoding: Literal["pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"] = "pcm_s16le"
    sample_rate: SampleRate
    bit_rate: int | None = None


class Wanted(Model):
    """What every request says."""

    transcript: str = Field(min_length=1)
    voice: VoiceChoice
    language: str | None = Field(None, max_length=35)
    generation_config: GenerationConfig | None = None

    @property
    def generation(self) -> Generation:
        config = self.generation_config
        return Generation(language=self.language or None, speed=config.speed if config else None)


class SpeechRequest(Wanted):
    """What of a request for a file means something here."""

    output_format: FileFormat

    @property
    def wish(self) -> Wish:
        form = self.output_format
        audio_format: AudioFormat = "pcm" if form.container == "raw" else form.container
        return Wish(
            self.transcript, self.voice.id, self.generation, audio_format, form.sample_rate, form.bit_rate
        )


class EventRequest(Wanted):
    """What of a request for events means something here."""

    output_format: OutputFormat
    context_id: str | None = Field(None, max_length=256)
    add_timestamps: bool | None = None

    @property
    def wish(self) -> Wish:
        rate = self.output_format.sample_rate
        return Wish(self.transcript, self.voice.id, self.generation, "pcm", rate)


def refusal(error: SpeechError) -> Response:
    """An error in Cartesia's form."""
    return refused(error, described(error), as_400=True)


def routes() -> list[BaseRoute]:
    door = HttpDoor(key_in, refusal)
    return [
        Route("/tts/bytes", door.keyed(speech), methods=["POST"]),
        Route("/tts/sse", door.keyed(events), methods=["POST"]),
        *cartesia_voices.routes(door),
    ]


@operation(
    "Cartesia",
    "Speak a text",
    docs="https://docs.cartesia.ai/api-reference/tts/bytes",
    body=SpeechRequest,
    media=("audio/wav", "audio/mpeg", "audio/pcm", "audio/f32le", "audio/mulaw", "audio/alaw"),
)
async def speech(request: Request) -> SpokenResponse:
    """A text as a file."""
    wanted = await read_json(request, SpeechRequest)
    return SpokenResponse(
        parts_of(request),
        wanted.wish,
        explain=refusal,
        body=_body(wanted.output_format),
        media_type=_media_type(wanted.output_format),
    )


def _body(form: FileFormat) -> Body | None:
    match form.container, ENCODINGS[form.encoding]:
        case "raw", encoding:
            return headerless(encoding)
        case "wav", encoding if encoding != "pcm_s16le":
            return wav(encoding)
    return None


def _media_type(form: FileFormat) -> str | None:
    if form.container != "raw":
        return None
    if form.encoding == "pcm_s16le":
        return content_type("pcm", form.sample_rate)
    return f"audio/{form.encoding.removeprefix('pcm_')};rate={form.sample_rate}"


@operation(
    "Cartesia",
    "Speak a text, as events",
    docs="https://docs.cartesia.ai/api-reference/tts/sse",
    body=EventRequest,
    media=("text/event-stream",),
)
async def events(request: Request) -> SpokenResponse:
    """A text as events, each with sound or the words that it is about to say."""
    wanted = await read_json(request, EventRequest)
    return SpokenResponse(
        parts_of(request),
        wanted.wish,
        explain=refusal,
        body=lambda reading: _events(reading, wanted),
        media_type="text/event-stream",
    )


async def _events(reading: Reading, wanted: EventRequest) -> AsyncGenerator[bytes, None]:
    """What breaks off the sound is an event too; before any sound it is raised, to be told by the status."""
    context = wanted.context_id or str(uuid.uuid4())
    begun, told = False, 0
    try:
        async with aclosing(reading.marked(ENCODINGS[wanted.output_format.encoding])) as outputs:
            async for output in outputs:
                if isinstance(output, bytes) and output:
                    begun = True
                    yield _event("chunk", context, data=b64encode(output).decode(), step_time=0.0)
                elif isinstance(output, WordTimes) and wanted.add_timestamps:
                    begun = True
                    stamps, told = _stamps(reading, output, wanted.transcript, told)
                    yield _event("timestamps", context, word_timestamps=stamps)
    except SpeechError as error:
        if not begun:
            raise
        yield _framed("error", told_of(error, context))
        return
    yield _framed("done", {"type": "done", "context_id": context, "done": True, "status_code": 200})


def _stamps(reading: Reading, times: WordTimes, text: str, told: int) -> tuple[dict[str, Any], int]:
    """The words as they were written, in seconds from the start, and where in the text they end."""
    words = []
    for word in times.words:
        start, told = with_marks(text, told, word.start, word.end)
        words.append(text[start:told])
    stamps = {
        "words": words,
        "start": [round(reading.at(word.start_sample), 4) for word in times.words],
        "end": [round(reading.at(word.end_sample), 4) for word in times.words],
    }
    return stamps, told


def _event(kind: str, context: str, **fields: Any) -> bytes:
    return _framed(kind, {"type": kind, "context_id": context, "done": False, "status_code": 206, **fields})


def _framed(kind: str, message: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(message) + b"\n\n"
