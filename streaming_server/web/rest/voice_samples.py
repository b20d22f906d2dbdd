"""Samples of voices over HTTP: uploaded, told of, heard, deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import BadAudio, BadValue, InUse, StorageFailure, UnknownVoiceSample
from streaming_server.storage.voices import StoredVoiceSample, VoiceStore, check_name
from streaming_server.transcription.transcript import check_said
from streaming_server.web.openapi.operation import BODY_ERRORS, Parameter, operation
from streaming_server.web.requests import flag, keyed
from streaming_server.web.responses import Json, Message
from streaming_server.web.rest.hearing import hear_soon
from streaming_server.web.rest.intake import LONGEST_TRANSCRIPT, take_in
from streaming_server.web.rest.sound_file import SoundFile
from streaming_server.web.rest.upload import receive
from streaming_server.web.rest.voice_sample import (
    FILE_GONE,
    SampleMetadata,
    SampleSummary,
    stored_voice_sample,
    told,
    told_briefly,
    warnings_of,
)
from streaming_server.web.rest.voices import refresh
from streaming_server.web.services import parts_of

FORM = {
    "type": "object",
    "properties": {
        "prompt_id": {"type": "string", "minLength": 1, "maxLength": 64},
        "audio_file": {"type": "string", "format": "binary"},
        "transcript": {"type": "string", "maxLength": LONGEST_TRANSCRIPT},
    },
    "required": ["prompt_id", "audio_file"],
}


class StoredSample(TypedDict):
    """transcribing: whether Whisper is going to listen to it."""

    message: str
    prompt_id: str
    duration: float
    sample_rate: int
    original_sample_rate: int
    original_format: str
    channels: int
    warnings: list[str]
    waveform: tuple[int, ...]
    transcript: str | None
    transcribing: bool


Told = TypeVar("Told")


def routes() -> list[BaseRoute]:
    return [
        Route("/audio_prompts/upload", keyed(upload), methods=["POST"]),
        Route("/audio_prompts/metadata", keyed(all_metadata)),
        Route("/audio_prompts/metadata/{prompt_id}", keyed(metadata)),
        Route("/audio_prompts", keyed(voice_samples)),
        Route("/audio_prompts/{prompt_id}", keyed(delete), methods=["DELETE"]),
        Route("/audio_prompts/{prompt_id}/audio", keyed(audio)),
    ]


@operation(
    "samples",
    "Store a voice sample, 0.5 to 60 s; 5 to 10 s are best",
    body=FORM,
    body_type="multipart/form-data",
    errors=(*BODY_ERRORS, BadAudio, StorageFailure),
)
async def upload(request: Request) -> Json[StoredSample]:
    """A new sample, or another recording for one there is."""
    parts = parts_of(request)
    settings = parts.settings
    async with receive(
        request, "audio_file", max_bytes=settings.max_upload_bytes, timeout_s=settings.upload_timeout_s
    ) as sent:
        voice_sample_id = check_name(sent.fields.get("prompt_id", ""), "prompt_id")
        said = sent.fields.get("transcript", "").strip()
        if len(said) > LONGEST_TRANSCRIPT:
            raise BadValue(f"must have at most {LONGEST_TRANSCRIPT} characters.", field="transcript")
        if said:
            check_said(said, "transcript")
        voice_sample = await take_in(parts, voice_sample_id, sent.file, sent.filename, said, "manual")
    await refresh(parts)
    transcribing = voice_sample.transcript is None and hear_soon(parts)
    return Json(
        {
            "message": f"The sample {voice_sample.id!r} is stored.",
            "prompt_id": voice_sample.id,
            "duration": voice_sample.duration_s,
            "sample_rate": voice_sample.sample_rate,
            "original_sample_rate": voice_sample.original_sample_rate,
            "original_format": voice_sample.original_format,
            "channels": voice_sample.channels,
            "warnings": warnings_of(voice_sample),
            "waveform": voice_sample.waveform,
            "transcript": voice_sample.transcript,
            "transcribing": transcribing,
        }
    )


@operation("samples", "List the voice samples by id")
async def voice_samples(request: Request) -> Json[dict[str, SampleSummary]]:
    return Json(await to_thread.run_sync(_each, parts_of(request).store, told_briefly))


@operation("samples", "Get the metadata of all voice samples")
async def all_metadata(request: Request) -> Json[dict[str, SampleMetadata]]:
    return Json(await to_thread.run_sync(_each, parts_of(request).store, told))


@operation("samples", "Get the metadata of a voice sample", errors=(UnknownVoiceSample,))
async def metadata(request: Request) -> Json[SampleMetadata]:
    voice_sample = await stored_voice_sample(request)
    return Json(await to_thread.run_sync(told, voice_sample))


@operation("samples", "Get the audio of a voice sample", media=("audio/wav",), errors=(UnknownVoiceSample,))
async def audio(request: Request) -> SoundFile:
    """The sample as it is stored: mono, 44.1 kHz, 16 bits."""

    async def find() -> Path:
        return (await stored_voice_sample(request)).path

    return SoundFile(await find(), find=find, gone=UnknownVoiceSample(FILE_GONE), media_type="audio/wav")


@operation(
    "samples",
    "Delete a voice sample that no voice uses",
    query=(Parameter("force", bool, "Take it from the voices that use it."),),
    errors=(UnknownVoiceSample, InUse, BadValue, StorageFailure),
)
async def delete(request: Request) -> Json[Message]:
    """Refused while a voice uses it, unless `force=true`: then those voices lose it."""
    parts = parts_of(request)
    voice_sample_id = request.path_params["prompt_id"]
    force = flag(request, "force")
    await to_thread.run_sync(lambda: parts.store.delete_voice_sample(voice_sample_id, force=force))
    await refresh(parts)
    return Json({"message": f"The sample {voice_sample_id!r} was deleted."})


def _each(store: VoiceStore, tell: Callable[[StoredVoiceSample], Told]) -> dict[str, Told]:
    """Every sample, by its id. Blocks."""
    return {voice_sample.id: tell(voice_sample) for voice_sample in store.voice_samples()}
