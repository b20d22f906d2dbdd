"""Deepgram's speech over HTTP, `POST /v1/speak`."""

from __future__ import annotations

import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.container import AudioFormat, content_type
from streaming_server.errors import BadValue, SpeechError
from streaming_server.types import DEFAULT_VOICE, SAMPLE_RATES, Generation
from streaming_server.web.doors.deepgram import ENCODINGS, key_in, voice_of
from streaming_server.web.http import RETRY_AFTER_S, Json, read_json, validated
from streaming_server.web.parts import parts_of
from streaming_server.web.reading import SpokenResponse, Wish

DEFAULT_RATE = 24_000


class Query(BaseModel):
    """What of the query means something here. Defaults as Deepgram's."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)
    encoding: Literal["linear16", "mulaw", "alaw", "mp3", "opus", "flac", "aac"] = "mp3"
    container: Literal["wav", "ogg", "none"] | None = None
    sample_rate: int | None = None
    bit_rate: int | None = None
    speed: float | None = Field(None, ge=0.25, le=4.0)


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1)


def routes() -> list[BaseRoute]:
    return [Route("/v1/speak", speech, methods=["POST"])]


def refusal(error: SpeechError) -> Response:
    """An error in Deepgram's form."""
    headers = {"retry-after": str(RETRY_AFTER_S)} if error.http_status in (429, 503) else {}
    told = {"err_code": error.code.upper(), "err_msg": error.message, "request_id": str(uuid.uuid4())}
    return Json(told, status_code=400 if error.http_status == 422 else error.http_status, headers=headers)


async def speech(request: Request) -> Response:
    parts = parts_of(request)
    try:
        parts.guard.check_key(key_in(request))
        query = validated(Query, dict(request.query_params))
        text = (await read_json(request, Body)).text
        wish = _wish(query, text, voice_of(parts, query.model)[0])
    except SpeechError as error:
        return refusal(error)
    raw = ENCODINGS.get(query.encoding)
    headerless = raw is not None and wish.audio_format == "pcm"
    return SpokenResponse(
        parts,
        wish,
        explain=refusal,
        body=(lambda reading: reading.raw(raw or "pcm_s16le")) if headerless else None,
        media_type=_media_type(query, wish) if headerless else None,
        headers={"dg-model-name": query.model, "dg-request-id": str(uuid.uuid4())},
    )


def _wish(query: Query, text: str, voice: str) -> Wish:
    rate = query.sample_rate or (48_000 if query.encoding == "opus" else DEFAULT_RATE)
    if rate not in SAMPLE_RATES:
        raise BadValue("sample_rate: one of " + ", ".join(map(str, SAMPLE_RATES)) + ".")
    return Wish(text, voice, Generation(speed=query.speed), _format(query), rate, query.bit_rate)


def _format(query: Query) -> AudioFormat:
    """linear16 comes in a WAV file unless the query says otherwise, the laws without any. Raises BadValue."""
    match query.encoding, query.container:
        case "linear16", "wav" | None:
            return "wav"
        case "linear16" | "mulaw" | "alaw", "none" | None:
            return "pcm"
        case "opus", "ogg" | None:
            return "opus"
        case ("mp3" | "flac" | "aac") as encoding, "none" | None:
            return encoding
    raise BadValue("container: does not hold this encoding.")


def _media_type(query: Query, wish: Wish) -> str:
    match query.encoding:
        case "mulaw":
            return f"audio/mulaw;rate={wish.sample_rate}"
        case "alaw":
            return f"audio/alaw;rate={wish.sample_rate}"
    return content_type("pcm", wish.sample_rate or DEFAULT_RATE)
