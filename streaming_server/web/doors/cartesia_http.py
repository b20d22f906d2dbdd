"""Cartesia's speech over HTTP, `POST /tts/bytes`."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.container import AudioFormat, content_type
from streaming_server.errors import BadValue, SpeechError
from streaming_server.types import Generation
from streaming_server.web.doors.cartesia import ENCODINGS, GenerationConfig, VoiceChoice, key_in
from streaming_server.web.http import RETRY_AFTER_S, Json, read_json
from streaming_server.web.messages import SampleRate
from streaming_server.web.parts import parts_of
from streaming_server.web.reading import SpokenResponse, Wish


class OutputFormat(BaseModel):
    model_config = ConfigDict(extra="ignore")

    container: Literal["raw", "wav", "mp3"]
    encoding: Literal["pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"] = "pcm_s16le"
    sample_rate: SampleRate
    bit_rate: int | None = None


class SpeechRequest(BaseModel):
    """What of a request means something here."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    transcript: str = Field(min_length=1)
    voice: VoiceChoice
    output_format: OutputFormat
    language: str | None = Field(None, max_length=35)
    generation_config: GenerationConfig | None = None


def routes() -> list[BaseRoute]:
    return [
        Route("/tts/bytes", speech, methods=["POST"]),
        Route("/voices/", voices),
    ]


def refusal(error: SpeechError) -> Response:
    """An error in Cartesia's form."""
    headers = {"retry-after": str(RETRY_AFTER_S)} if error.http_status in (429, 503) else {}
    told = {
        "error_code": error.code,
        "title": error.code.replace("_", " ").capitalize(),
        "message": error.message,
        "request_id": str(uuid.uuid4()),
    }
    return Json(told, status_code=400 if error.http_status == 422 else error.http_status, headers=headers)


async def speech(request: Request) -> Response:
    parts = parts_of(request)
    try:
        parts_of(request).guard.check_key(key_in(request))
        wanted = await read_json(request, SpeechRequest)
        wish = _wish(wanted)
    except SpeechError as error:
        return refusal(error)
    form = wanted.output_format
    encoding = ENCODINGS[form.encoding]
    raw = form.container == "raw"
    return SpokenResponse(
        parts,
        wish,
        explain=refusal,
        body=(lambda reading: reading.raw(encoding)) if raw else None,
        media_type=_media_type(form) if raw else None,
    )


async def voices(request: Request) -> Response:
    """As Cartesia lists them."""
    try:
        parts_of(request).guard.check_key(key_in(request))
    except SpeechError as error:
        return refusal(error)
    known = parts_of(request).catalogue.voices
    data: list[dict[str, Any]] = [
        {"id": voice.id, "name": voice.name, "description": voice.style, "language": "en", "is_owner": False}
        for voice in known
    ]
    return Json({"data": data, "has_more": False, "next_page": None})


def _wish(wanted: SpeechRequest) -> Wish:
    form, config = wanted.output_format, wanted.generation_config
    if form.container == "wav" and form.encoding != "pcm_s16le":
        raise BadValue("encoding: a wav container holds pcm_s16le.")
    audio_format: AudioFormat = "pcm" if form.container == "raw" else form.container
    generation = Generation(language=wanted.language or None, speed=config.speed if config else None)
    return Wish(wanted.transcript, wanted.voice.id, generation, audio_format, form.sample_rate, form.bit_rate)


def _media_type(form: OutputFormat) -> str:
    if form.encoding == "pcm_s16le":
        return content_type("pcm", form.sample_rate)
    return f"audio/{form.encoding.removeprefix('pcm_')};rate={form.sample_rate}"
