"""ElevenLabs' speech over HTTP."""

from __future__ import annotations

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
from streaming_server.types import Generation, Voice
from streaming_server.web.openapi.operation import Parameter, operation
from streaming_server.web.reading import Reading, SpokenResponse, Wish
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json
from streaming_server.web.services import parts_of
from streaming_server.web.vendors.elevenlabs.formats import OutputFormat, output_format, output_formats
from streaming_server.web.vendors.elevenlabs.multi_stream import VoiceSettings
from streaming_server.web.vendors.elevenlabs.websocket import described, key_in
from streaming_server.web.vendors.http_door import HttpDoor, refused
from streaming_server.web.vendors.markup import without_tags
from streaming_server.web.vendors.model import Model
from streaming_server.web.vendors.sound import headerless


class SpeechRequest(Model):
    """What of a request means something here."""

    text: str = Field(min_length=1)
    language_code: str | None = Field(None, max_length=35)
    seed: int | None = Field(None, ge=0, lt=2**63)
    voice_settings: VoiceSettings | None = None


QUERY = (Parameter("output_format", Literal[tuple(output_formats())], "mp3_44100_128 by default."),)
MEDIA = ("audio/mpeg", "audio/ogg", "audio/pcm", "audio/basic", "audio/x-alaw-basic")


def routes() -> list[BaseRoute]:
    keyed = HttpDoor(key_in, refusal).keyed
    return [
        Route("/v1/text-to-speech/{voice}", keyed(speech), methods=["POST"]),
        Route("/v1/text-to-speech/{voice}/stream", keyed(speech), methods=["POST"]),
        Route("/v1/text-to-speech/{voice}/with-timestamps", keyed(timed_speech), methods=["POST"]),
        Route("/v1/text-to-speech/{voice}/stream/with-timestamps", keyed(timed_stream), methods=["POST"]),
        Route("/v1/voices", keyed(voices)),
        Route("/v1/voices/{voice}", keyed(voice)),
        Route("/v2/voices", keyed(all_on_one_page)),
    ]


def refusal(error: SpeechError) -> Response:
    """An error in ElevenLabs' form."""
    return refused(error, described(error), as_400=False)


@operation(
    "ElevenLabs",
    "Speak a text",
    docs="https://elevenlabs.io/docs/api-reference/text-to-speech/stream",
    body=SpeechRequest,
    query=QUERY,
    media=MEDIA,
)
async def speech(request: Request) -> SpokenResponse:
    """The sound alone, while it is made."""
    wish, form = await _asked(request)
    return SpokenResponse(
        parts_of(request),
        wish,
        explain=refusal,
        body=None if form.container else headerless(form.encoding),
        media_type=_media_type(form),
    )


@operation(
    "ElevenLabs",
    "Speak a text, with its timing, while it is made",
    docs="https://elevenlabs.io/docs/api-reference/text-to-speech/stream-with-timestamps",
    body=SpeechRequest,
    query=QUERY,
    media=("application/x-ndjson",),
)
async def timed_stream(request: Request) -> SpokenResponse:
    """Lines of JSON, each with sound and the characters that begin in it."""
    wish, form = await _asked(request)
    return SpokenResponse(
        parts_of(request),
        wish,
        explain=refusal,
        body=lambda reading: _lines(reading, wish, form),
        media_type="application/x-ndjson",
    )


@operation(
    "ElevenLabs",
    "Speak a text, with its timing",
    docs="https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps",
    body=SpeechRequest,
    query=QUERY,
    media=("application/json",),
)
async def timed_speech(request: Request) -> SpokenResponse:
    """All of it in one object."""
    wish, form = await _asked(request)
    return SpokenResponse(
        parts_of(request),
        wish,
        explain=refusal,
        body=lambda reading: _whole(reading, wish, form),
        media_type="application/json",
    )


@operation(
    "ElevenLabs",
    "List the voices",
    docs="https://elevenlabs.io/docs/api-reference/voices/get-all",
)
async def voices(request: Request) -> Json[dict[str, Any]]:
    return Json({"voices": _listed(request)})


@operation(
    "ElevenLabs",
    "List the voices, in pages",
    docs="https://elevenlabs.io/docs/api-reference/voices/search",
)
async def all_on_one_page(request: Request) -> Json[dict[str, Any]]:
    """The list of the later version, which has pages."""
    listed = _listed(request)
    pages = {"has_more": False, "total_count": len(listed), "next_page_token": None}
    return Json({"voices": listed, **pages})


@operation(
    "ElevenLabs",
    "Get a voice",
    docs="https://elevenlabs.io/docs/api-reference/voices/get",
)
async def voice(request: Request) -> Json[dict[str, Any]]:
    return Json(_told_of(parts_of(request).catalogue.find(request.path_params["voice"]).voice))


def _listed(request: Request) -> list[dict[str, Any]]:
    return [_told_of(voice) for voice in parts_of(request).catalogue.voices]


def _told_of(voice: Voice) -> dict[str, Any]:
    labels = {"style": voice.style}
    return {"voice_id": voice.id, "name": voice.name, "category": "premade", "labels": labels}


async def _asked(request: Request) -> tuple[Wish, OutputFormat]:
    wanted = await read_json(request, SpeechRequest)
    form = output_format(request.query_params.get("output_format"))
    speed = wanted.voice_settings.speed if wanted.voice_settings else None
    audio_format: AudioFormat = form.container or "pcm"
    return (
        Wish(
            without_tags(wanted.text),
            request.path_params["voice"],
            Generation(language=wanted.language_code or None, speed=speed, seed=wanted.seed),
            audio_format,
            form.sample_rate,
            form.bit_rate,
        ),
        form,
    )


def _media_type(form: OutputFormat) -> str:
    if form.container is not None:
        return content_type(form.container, form.sample_rate)
    match form.encoding:
        case "mulaw":
            return "audio/basic"
        case "alaw":
            return f"audio/x-alaw-basic;rate={form.sample_rate}"
    return f"audio/pcm;rate={form.sample_rate};channels=1"


async def _lines(reading: Reading, wish: Wish, form: OutputFormat) -> AsyncGenerator[bytes, None]:
    async with aclosing(_timed(reading, wish, form)) as pieces:
        async for data, characters in pieces:
            yield orjson.dumps(_told_together(data, characters)) + b"\n"


async def _whole(reading: Reading, wish: Wish, form: OutputFormat) -> AsyncGenerator[bytes, None]:
    sound, every = b"", _Characters()
    async with aclosing(_timed(reading, wish, form)) as pieces:
        async for data, characters in pieces:
            sound += data
            every.extend(characters)
    yield orjson.dumps(_told_together(sound, every))


class _Characters:
    """Characters and when each is heard, in seconds from the start."""

    def __init__(self) -> None:
        self.characters: list[str] = []
        self.starts: list[float] = []
        self.ends: list[float] = []

    def add(self, text: str, start: float, end: float) -> None:
        """A word, its characters spread evenly."""
        for index, character in enumerate(text):
            self.characters.append(character)
            self.starts.append(round(start + (end - start) * index / len(text), 4))
            self.ends.append(round(start + (end - start) * (index + 1) / len(text), 4))

    def extend(self, others: _Characters) -> None:
        self.characters += others.characters
        self.starts += others.starts
        self.ends += others.ends


async def _timed(
    reading: Reading, wish: Wish, form: OutputFormat
) -> AsyncGenerator[tuple[bytes, _Characters], None]:
    """Sound with the characters that were told of before it; every character of the text comes once."""
    told, characters = 0, _Characters()
    last = 0.0
    async with aclosing(reading.marked(form.encoding if form.container is None else None)) as outputs:
        async for output in outputs:
            if isinstance(output, bytes):
                if output:
                    yield output, characters
                    characters = _Characters()
            elif isinstance(output, WordTimes):
                for word in output.words:
                    start, end = reading.at(word.start_sample), reading.at(word.end_sample)
                    characters.add(wish.text[told : word.start], last, max(last, start))
                    characters.add(wish.text[word.start : word.end], max(last, start), max(last, end))
                    told, last = word.end, max(last, end)
    characters.add(wish.text[told:], last, last)
    if characters.characters:
        yield b"", characters


def _told_together(data: bytes, characters: _Characters) -> dict[str, Any]:
    alignment = None
    if characters.characters:
        alignment = {
            "characters": characters.characters,
            "character_start_times_seconds": characters.starts,
            "character_end_times_seconds": characters.ends,
        }
    return {
        "audio_base64": b64encode(data).decode(),
        "alignment": alignment,
        "normalized_alignment": alignment,
    }
