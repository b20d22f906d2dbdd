"""Cartesia's speech over HTTP, `POST /tts/bytes` and `POST /tts/sse`."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from streaming_server.audio.encoder import AudioOptions
from streaming_server.audio.formats import AudioFormat, content_type
from streaming_server.context import Failure
from streaming_server.render import Frames, Rendering, TimedWords
from streaming_server.types import SampleRate
from streaming_server.web.audio_fields import any_case
from streaming_server.web.openapi.operation import operation
from streaming_server.web.requests import read_json
from streaming_server.web.services import speech_services
from streaming_server.web.speech_response import SpeechResponse
from streaming_server.web.vendors.cartesia import voices as cartesia_voices
from streaming_server.web.vendors.cartesia.fields import (
    ENCODINGS,
    CartesiaSpeechFields,
    OutputFormat,
    SampleEncoding,
    error_body,
    key_in,
    stream_error,
    word_timestamps,
)
from streaming_server.web.vendors.http_door import HttpDoor
from streaming_server.web.vendors.model import ClientFields


class FileFormat(ClientFields):
    container: Annotated[Literal["raw", "wav", "mp3"], any_case]
    encoding: SampleEncoding = "pcm_s16le"
    sample_rate: SampleRate
    bit_rate: int | None = None

    @property
    def audio(self) -> AudioOptions:
        audio_format: AudioFormat = "pcm" if self.container == "raw" else self.container
        return AudioOptions(self.sample_rate, ENCODINGS[self.encoding], audio_format, self.bit_rate)


class CartesiaSpeechBody(CartesiaSpeechFields):
    """The fields of every request."""

    transcript: str = Field(min_length=1)


class FileBody(CartesiaSpeechBody):
    """A request for a file."""

    output_format: FileFormat


class EventsBody(CartesiaSpeechBody):
    """A request for events."""

    output_format: OutputFormat
    context_id: str | None = Field(None, max_length=256)
    add_timestamps: bool | None = None


_DOOR = HttpDoor(key_in, error_body, bad_value_status=400)


def routes() -> list[BaseRoute]:
    return [
        Route("/tts/bytes", _DOOR.keyed(speech), methods=["POST"]),
        Route("/tts/sse", _DOOR.keyed(events), methods=["POST"]),
        *cartesia_voices.routes(_DOOR),
    ]


@operation(
    "Cartesia",
    "Speak a text",
    docs="https://docs.cartesia.ai/api-reference/tts/bytes",
    body=FileBody,
    media=("audio/wav", "audio/mpeg", "audio/pcm", "audio/f32le", "audio/mulaw", "audio/alaw"),
)
async def speech(request: Request) -> SpeechResponse:
    """Speak a text into a file."""
    body = await read_json(request, FileBody)
    return SpeechResponse(
        speech_services(request),
        body.transcript,
        body.speech_options(body.output_format.audio),
        explain=_DOOR.refusal,
        media_type=_media_type(body.output_format),
    )


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
    body=EventsBody,
    media=("text/event-stream",),
)
async def events(request: Request) -> SpeechResponse:
    """Speak a text as events, each with audio or with the times of the words that follow."""
    body = await read_json(request, EventsBody)
    return SpeechResponse(
        speech_services(request),
        body.transcript,
        body.speech_options(body.output_format.audio),
        explain=_DOOR.refusal,
        body=lambda rendering: _events(rendering, body),
        media_type="text/event-stream",
    )


async def _events(rendering: Rendering, body: EventsBody) -> AsyncGenerator[bytes, None]:
    """Iterate over the events.

    Raise an error that comes before any audio, so that the HTTP status can report it.
    """
    context = body.context_id or str(uuid.uuid4())
    begun = False
    async with aclosing(rendering.outputs()) as outputs:
        async for output in outputs:
            match output:
                case Frames():
                    begun = True
                    data = b64encode(output.data).decode()
                    yield _event("chunk", context, data=data, step_time=0.0)
                case TimedWords(words) if body.add_timestamps:
                    begun = True
                    stamps = word_timestamps(words, rendering.sample_rate)
                    yield _event("timestamps", context, word_timestamps=stamps)
                case Failure() if not begun:
                    raise output.error()
                case Failure():
                    yield _framed("error", stream_error(output.error(), context))
                    return
    yield _framed("done", {"type": "done", "context_id": context, "done": True, "status_code": 200})


def _event(kind: str, context: str, **fields: Any) -> bytes:
    return _framed(kind, {"type": kind, "context_id": context, "done": False, "status_code": 206, **fields})


def _framed(kind: str, message: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(message) + b"\n\n"
