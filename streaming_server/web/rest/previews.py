"""Each voice introduces itself."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import orjson
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from streaming_server.audio.formats import whole_file
from streaming_server.catalogue import Entry
from streaming_server.errors import EngineFailure, Full, InUse, StorageFailure, UnknownVoice
from streaming_server.types import EngineInfo
from streaming_server.web.openapi.operation import operation
from streaming_server.web.reading import Wish, open_reading
from streaming_server.web.requests import keyed
from streaming_server.web.rest.sound_file import SoundFile
from streaming_server.web.services import Parts, parts_of

PREVIEW_TEXT = "Hello! This is what I sound like. I hope you like it."


def routes() -> list[BaseRoute]:
    return [Route("/preview/{voice_id}", keyed(preview))]


@operation(
    "speech",
    "Get a short introduction spoken by a voice",
    media=("audio/wav",),
    errors=(UnknownVoice, Full, EngineFailure, InUse, StorageFailure),
)
async def preview(request: Request) -> SoundFile:
    """A voice introduces itself. Kept until the voice changes."""
    parts = parts_of(request)
    entry = parts.catalogue.find(request.path_params["voice_id"])
    engine = await parts.pool.engine()

    async def speak() -> bytes:
        sound = await _spoken(parts, engine, entry.voice.id)
        if parts.catalogue.find(entry.voice.id) != entry:
            raise InUse("The voice was changed while it introduced itself: ask again.")
        return sound

    file = await parts.previews.get(_name(parts, engine, entry), speak)
    gone = StorageFailure("The preview was removed from the disk just now: ask again.")
    return SoundFile(file, gone=gone, media_type="audio/wav", filename=f"{entry.voice.id}_preview.wav")


def _name(parts: Parts, engine: EngineInfo, entry: Entry) -> str:
    """Of the voice and the engine that it is of: a voice that changes has another preview."""
    spoken_by = [engine.name, asdict(parts.engine.settings), asdict(entry.voice), asdict(entry.defaults)]
    return hashlib.sha256(orjson.dumps(spoken_by)).hexdigest()[:32]


async def _spoken(parts: Parts, engine: EngineInfo, voice: str) -> bytes:
    """The preview as a WAV file. Raises SpeechError."""
    with (
        parts.limits.speaking(parts.pool.has_room),
        open_reading(parts, engine, Wish(PREVIEW_TEXT, voice)) as reading,
    ):
        pcm = b"".join([piece async for piece in reading.pcm()])
    return whole_file("wav", pcm, reading.sample_rate)
