"""The route of previews."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import asdict
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.audio.encoder import AudioOptions
from streaming_server.errors import EngineFailure, Full, InUse, StorageFailure, UnknownVoice
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import EngineInfo
from streaming_server.voices.catalogue import CatalogueEntry
from streaming_server.web.keyed import keyed
from streaming_server.web.openapi.operation import operation
from streaming_server.web.services import SpeechServices, loaded_engine, output_services, speech_services
from streaming_server.web.sound_file import SoundFile

PREVIEW_TEXT = "Hello! This is what I sound like. I hope you like it."


def routes() -> list[BaseRoute]:
    return [Route("/preview/{voice_id}", keyed(preview))]


@operation(
    "speech",
    "Get a short introduction spoken by a voice",
    media=("audio/wav",),
    errors=(UnknownVoice, Full, EngineFailure, InUse, StorageFailure),
)
async def preview(request: Request) -> SoundFile | Response:
    """The preview is cached until the voice changes."""
    services = speech_services(request)
    entry = services.catalogue.find(request.path_params["voice_id"])
    engine = loaded_engine(services)

    async def speak() -> bytes:
        audio = await _spoken(services, engine, entry.voice.id)
        if services.catalogue.find(entry.voice.id) != entry:
            raise InUse("The voice was changed while its preview was made; try again.")
        return audio

    made = await output_services(request).previews.get(_name(services, engine, entry), speak)
    filename = f"{entry.voice.id}_preview.wav"
    if isinstance(made, bytes):
        headers = {"Content-Disposition": f'attachment; filename="{quote(filename)}"'}
        return Response(made, media_type="audio/wav", headers=headers)
    gone = StorageFailure("The preview has just been deleted; try again.")
    return SoundFile(made, gone=gone, media_type="audio/wav", filename=filename)


def _name(services: SpeechServices, engine: EngineInfo, entry: CatalogueEntry) -> str:
    """Return a hash of the voice and of the engine, so that a changed voice has another preview."""
    spoken_by = [engine.name, asdict(services.engine.settings), asdict(entry.voice), asdict(entry.defaults)]
    return hashlib.sha256(orjson.dumps(spoken_by)).hexdigest()[:32]


async def _spoken(services: SpeechServices, engine: EngineInfo, voice: str) -> bytes:
    """Speak the preview into a WAV file. Raise SpeechError."""
    options = SpeechOptions(voice, audio=AudioOptions(format="wav"), door="preview")
    with services.limits.speaking(services.pool.has_room):
        async with services.contexts.open(engine, options) as rendering, aclosing(rendering.audio()) as audio:
            await rendering.read(PREVIEW_TEXT)
            body = b"".join([data async for data in audio])
            head = rendering.final_head()
    return head + body[len(head) :]
