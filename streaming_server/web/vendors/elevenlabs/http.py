"""ElevenLabs' speech over HTTP."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

import orjson
from anyio import to_thread
from pydantic import Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from streaming_server.audio.encoder import AudioOptions
from streaming_server.audio.formats import content_type
from streaming_server.context import Failure
from streaming_server.render import Frames, Rendering, TimedWords
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import Generation, Voice
from streaming_server.web.openapi.operation import Parameter, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json
from streaming_server.web.services import speech_services
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.speech_response import SpeechResponse
from streaming_server.web.vendors.elevenlabs.alignment import Characters
from streaming_server.web.vendors.elevenlabs.fields import VoiceSettings, error_body, key_in
from streaming_server.web.vendors.elevenlabs.formats import audio_options, output_formats
from streaming_server.web.vendors.http_door import HttpDoor
from streaming_server.web.vendors.model import ClientFields


class ElevenLabsSpeechBody(ClientFields, SpeechFields):
    """The fields of a request that have a meaning here."""

    text: str = Field(min_length=1)
    voice_settings: VoiceSettings | None = None


QUERY = (Parameter("output_format", Literal[tuple(output_formats(files=True))], "mp3_44100_128 by default."),)


MEDIA = ("audio/wav", "audio/mpeg", "audio/ogg", "audio/pcm", "audio/basic", "audio/x-alaw-basic")


_DOOR = HttpDoor(key_in, error_body)


def routes() -> list[BaseRoute]:
    keyed = _DOOR.keyed
    return [
        Route("/v1/text-to-speech/{voice}", keyed(speech), methods=["POST"]),
        Route("/v1/text-to-speech/{voice}/stream", keyed(speech), methods=["POST"]),
        Route("/v1/text-to-speech/{voice}/with-timestamps", keyed(timed_speech), methods=["POST"]),
        Route("/v1/text-to-speech/{voice}/stream/with-timestamps", keyed(timed_stream), methods=["POST"]),
        Route("/v1/voices", keyed(voices)),
        Route("/v1/voices/{voice}", keyed(voice)),
        Route("/v2/voices", keyed(all_on_one_page)),
    ]


@operation(
    "ElevenLabs",
    "Speak a text",
    docs="https://elevenlabs.io/docs/api-reference/text-to-speech/stream",
    body=ElevenLabsSpeechBody,
    query=QUERY,
    media=MEDIA,
)
async def speech(request: Request) -> SpeechResponse:
    """Speak a text."""
    text, options = await _read(request)
    return SpeechResponse(
        speech_services(request), text, options, explain=_DOOR.refusal, media_type=_media_type(options.audio)
    )


@operation(
    "ElevenLabs",
    "Speak a text, with its timing, while it is made",
    docs="https://elevenlabs.io/docs/api-reference/text-to-speech/stream-with-timestamps",
    body=ElevenLabsSpeechBody,
    query=QUERY,
    media=("application/x-ndjson",),
)
async def timed_stream(request: Request) -> SpeechResponse:
    """Speak a text in lines of JSON, each with audio and the characters that begin in it."""
    text, options = await _read(request)
    return SpeechResponse(
        speech_services(request),
        text,
        options,
        explain=_DOOR.refusal,
        body=lambda rendering: _lines(rendering, text),
        media_type="application/x-ndjson",
    )


@operation(
    "ElevenLabs",
    "Speak a text, with its timing",
    docs="https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps",
    body=ElevenLabsSpeechBody,
    query=QUERY,
    media=("application/json",),
)
async def timed_speech(request: Request) -> SpeechResponse:
    """Speak a text into one JSON object, written while it is spoken."""
    text, options = await _read(request)
    return SpeechResponse(
        speech_services(request),
        text,
        options,
        explain=_DOOR.refusal,
        body=lambda rendering: _object(rendering, text),
        media_type="application/json",
    )


@operation(
    "ElevenLabs",
    "List the voices",
    docs="https://elevenlabs.io/docs/api-reference/voices/get-all",
)
async def voices(request: Request) -> Json[dict[str, Any]]:
    return Json({"voices": _all_voices(request)})


@operation(
    "ElevenLabs",
    "List the voices, in pages",
    docs="https://elevenlabs.io/docs/api-reference/voices/search",
)
async def all_on_one_page(request: Request) -> Json[dict[str, Any]]:
    """List voices as the later version of the API does, which has pages."""
    listed = _all_voices(request)
    pages = {"has_more": False, "total_count": len(listed), "next_page_token": None}
    return Json({"voices": listed, **pages})


@operation(
    "ElevenLabs",
    "Get a voice",
    docs="https://elevenlabs.io/docs/api-reference/voices/get",
)
async def voice(request: Request) -> Json[dict[str, Any]]:
    return Json(_voice_to_json(speech_services(request).catalogue.find(request.path_params["voice"]).voice))


def _all_voices(request: Request) -> list[dict[str, Any]]:
    return [_voice_to_json(voice) for voice in speech_services(request).catalogue.voices]


def _voice_to_json(voice: Voice) -> dict[str, Any]:
    labels = {"style": voice.style}
    return {"voice_id": voice.id, "name": voice.name, "category": "premade", "labels": labels}


async def _read(request: Request) -> tuple[str, SpeechOptions]:
    body = await read_json(request, ElevenLabsSpeechBody)
    audio = audio_options(request.query_params.get("output_format"), files=True)
    speed = body.voice_settings.speed if body.voice_settings else None
    voice = request.path_params["voice"]
    options = SpeechOptions(voice, Generation(speed=speed), audio, door="elevenlabs")
    return body.text, body.over(options)


def _media_type(audio: AudioOptions) -> str:
    assert audio.sample_rate is not None
    if audio.format != "pcm":
        return content_type(audio.format, audio.sample_rate)
    match audio.encoding:
        case "mulaw":
            return "audio/basic"
        case "alaw":
            return f"audio/x-alaw-basic;rate={audio.sample_rate}"
    return f"audio/pcm;rate={audio.sample_rate};channels=1"


async def _lines(rendering: Rendering, text: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(_timed(rendering, text)) as pieces:
        async for data, characters in pieces:
            line = {"audio_base64": b64encode(data).decode(), **_twice(characters)}
            yield orjson.dumps(line) + b"\n"


async def _object(rendering: Rendering, text: str) -> AsyncGenerator[bytes, None]:
    """Write the base64 of the audio as it comes, a multiple of three bytes at a time, then the characters."""
    every, rest, begun = Characters(rendering.sample_rate), b"", False
    async with aclosing(_timed(rendering, text)) as pieces:
        async for data, characters in pieces:
            every.extend(characters)
            data = rest + data
            whole = len(data) // 3 * 3
            data, rest = data[:whole], data[whole:]
            if data:
                yield (b"" if begun else _OPENING) + b64encode(data)
                begun = True
    alignment = await to_thread.run_sync(lambda: orjson.dumps(_twice(every)))
    yield (b"" if begun else _OPENING) + b64encode(rest) + b'",' + alignment[1:]


_OPENING = b'{"audio_base64":"'


async def _timed(rendering: Rendering, text: str) -> AsyncGenerator[tuple[bytes, Characters], None]:
    """Iterate over audio and the characters that begin in it; every character of the text comes once."""
    done, last, characters = 0, 0, Characters(rendering.sample_rate)
    async with aclosing(rendering.outputs()) as outputs:
        async for output in outputs:
            match output:
                case Frames():
                    yield output.data, characters
                    characters = Characters(rendering.sample_rate)
                case TimedWords(words):
                    for word in words:
                        start = max(last, word.first_sample)
                        end = max(start, word.end_sample)
                        characters.add(text[done : word.start], last, start)
                        characters.add(text[word.start : word.end], start, end)
                        done, last = word.end, end
                case Failure():
                    raise output.error()
    characters.add(text[done:], last, last)
    if characters:
        yield b"", characters


def _twice(characters: Characters) -> dict[str, Any]:
    """Times refer to the text as the client wrote it, so both alignments are the same."""
    alignment = characters.in_seconds()
    return {"alignment": alignment, "normalized_alignment": alignment}
