"""Deepgram's speech over HTTP, `POST /v1/speak`."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from streaming_server.audio.encoder import AudioOptions
from streaming_server.audio.formats import AudioFormat, content_type
from streaming_server.errors import BadValue
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import DEFAULT_VOICE
from streaming_server.web.audio_fields import any_case
from streaming_server.web.openapi.operation import AUDIO, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import header_value
from streaming_server.web.services import speech_services
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.speech_response import SpeechResponse
from streaming_server.web.validation import validated_query
from streaming_server.web.vendors.deepgram.fields import (
    BAD_VALUE_STATUS,
    DEFAULT_RATE,
    ENCODINGS,
    error_body,
    key_in,
    rate_of,
    voice_of,
)
from streaming_server.web.vendors.http_door import HttpDoor
from streaming_server.web.vendors.model import ClientFields


class DeepgramSpeechQuery(ClientFields, SpeechFields):
    """The parameters that have a meaning here, with Deepgram's defaults."""

    model: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)
    encoding: Annotated[Literal["linear16", "mulaw", "alaw", "mp3", "opus", "flac", "aac"], any_case] = "mp3"
    container: Annotated[Literal["wav", "ogg", "none"], any_case] | None = None
    sample_rate: int | None = None
    bit_rate: int | None = None

    @property
    def in_wav(self) -> bool:
        """True if samples are sent in a WAV file, which is the default."""
        return self.encoding in ENCODINGS and self.container != "none"


class Body(ClientFields, SpeechFields):
    """A text. Its options take precedence over the query's."""

    text: str = Field(min_length=1)


_DOOR = HttpDoor(key_in, error_body, BAD_VALUE_STATUS)


def routes() -> list[BaseRoute]:
    return [Route("/v1/speak", _DOOR.keyed(speech), methods=["POST"])]


@operation(
    "Deepgram",
    "Speak a text",
    docs="https://developers.deepgram.com/reference/text-to-speech/speak-request",
    body=Body,
    query=DeepgramSpeechQuery,
    media=(*AUDIO, "audio/mulaw", "audio/alaw"),
)
async def speech(request: Request) -> SpeechResponse:
    services = speech_services(request)
    query = validated_query(DeepgramSpeechQuery, request.query_params)
    body = await read_json(request, Body)
    voice, _ = voice_of(services, query.model)
    audio = _audio(query)
    options = SpeechOptions(voice, audio=audio, door="deepgram")
    return SpeechResponse(
        services,
        body.text,
        body.over(query.over(options)),
        explain=_DOOR.refusal,
        media_type=_media_type(query, audio),
        headers={"dg-model-name": header_value(query.model), "dg-request-id": str(uuid.uuid4())},
    )


def _audio(query: DeepgramSpeechQuery) -> AudioOptions:
    """Raise BadValue for a rate or a container that does not fit."""
    rate = rate_of(query.encoding, query.sample_rate)
    encoding = ENCODINGS.get(query.encoding, "pcm_s16le")
    return AudioOptions(rate, encoding, _format(query), query.bit_rate)


def _format(query: DeepgramSpeechQuery) -> AudioFormat:
    """Raise BadValue for a container that does not hold the encoding."""
    match query.encoding, query.container:
        case "linear16" | "mulaw" | "alaw", "wav" | "none" | None:
            return "wav" if query.in_wav else "pcm"
        case "opus", "ogg" | None:
            return "opus"
        case ("mp3" | "flac" | "aac") as encoding, "none" | None:
            return encoding
    raise BadValue("does not hold this encoding.", field="container")


def _media_type(query: DeepgramSpeechQuery, audio: AudioOptions) -> str | None:
    if query.in_wav or query.encoding not in ENCODINGS:
        return None
    if query.encoding == "linear16":
        return content_type("pcm", audio.sample_rate or DEFAULT_RATE)
    return f"audio/{query.encoding};rate={audio.sample_rate}"
