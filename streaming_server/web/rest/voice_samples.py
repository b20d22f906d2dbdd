"""The routes of voice samples: upload, list, download, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from anyio import to_thread
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import BadAudio, BadValue, InUse, StorageFailure, UnknownVoiceSample
from streaming_server.storage.names import check_name
from streaming_server.storage.voice_records import FILE_GONE, StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.transcript import check_transcript
from streaming_server.voice_samples.ingest import MAX_TRANSCRIPT_CHARS
from streaming_server.web.keyed import admin_keyed, check_may_replace, keyed
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.responses import Confirmation, Json
from streaming_server.web.rest.upload import receive
from streaming_server.web.rest.voice_sample import (
    SampleMetadata,
    SampleSummary,
    playable_voice_sample,
    stored_voice_sample,
    summary_json,
    to_json,
    warnings_of,
)
from streaming_server.web.services import speech_services, voice_services
from streaming_server.web.sound_file import SoundFile
from streaming_server.web.validation import validated_query

FORM = {
    "type": "object",
    "properties": {
        "prompt_id": {"type": "string", "minLength": 1, "maxLength": 64},
        "audio_file": {"type": "string", "format": "binary"},
        "transcript": {"type": "string", "maxLength": MAX_TRANSCRIPT_CHARS},
    },
    "required": ["prompt_id", "audio_file"],
    "additionalProperties": False,
}


class DeletionQuery(BaseModel):
    force: bool = Field(False, description="Delete it even if voices use it, and remove it from them.")


class StoredSample(TypedDict):
    """transcribing: whether Whisper will transcribe it."""

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


Description = TypeVar("Description")


def routes() -> list[BaseRoute]:
    return [
        Route("/audio_prompts/upload", keyed(upload), methods=["POST"]),
        Route("/audio_prompts/metadata", keyed(all_metadata)),
        Route("/audio_prompts/metadata/{prompt_id}", keyed(metadata)),
        Route("/audio_prompts", keyed(voice_samples)),
        Route("/audio_prompts/{prompt_id}", admin_keyed(delete), methods=["DELETE"]),
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
    """Store a voice sample, replacing the one with the same id."""
    settings, voices = speech_services(request).settings, voice_services(request)
    async with receive(
        request, "audio_file", max_bytes=settings.max_upload_bytes, timeout_s=settings.upload_timeout_s
    ) as sent:
        voice_sample_id = check_name(sent.fields.get("prompt_id", ""), "prompt_id")
        text = sent.fields.get("transcript", "").strip()
        if len(text) > MAX_TRANSCRIPT_CHARS:
            raise BadValue(f"must have at most {MAX_TRANSCRIPT_CHARS} characters.", field="transcript")
        if text:
            check_transcript(text, "transcript")
        exists = await to_thread.run_sync(voices.library.store.has_voice_sample, voice_sample_id)
        check_may_replace(request, exists, "a voice sample")
        voice_sample = await voices.ingest.add(voice_sample_id, sent.file, sent.filename, text, "manual")
    await voices.library.refresh()
    transcribing = voice_sample.transcript is None and voices.transcription_queue.schedule()
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
    return Json(await to_thread.run_sync(_by_id, voice_services(request).library.store, summary_json))


@operation("samples", "Get the metadata of all voice samples")
async def all_metadata(request: Request) -> Json[dict[str, SampleMetadata]]:
    return Json(await to_thread.run_sync(_by_id, voice_services(request).library.store, to_json))


@operation("samples", "Get the metadata of a voice sample", errors=(UnknownVoiceSample,))
async def metadata(request: Request) -> Json[SampleMetadata]:
    voice_sample = await stored_voice_sample(request)
    return Json(await to_thread.run_sync(to_json, voice_sample))


@operation("samples", "Get the audio of a voice sample", media=("audio/wav",), errors=(UnknownVoiceSample,))
async def audio(request: Request) -> SoundFile:
    """Send the voice sample as it is stored: WAV, mono, 44.1 kHz, 16 bits."""

    async def find() -> Path:
        return (await playable_voice_sample(request)).path

    return SoundFile(await find(), find=find, gone=UnknownVoiceSample(FILE_GONE), media_type="audio/wav")


@operation(
    "samples",
    "Delete a voice sample that no voice uses",
    query=DeletionQuery,
    errors=(UnknownVoiceSample, InUse, BadValue, StorageFailure),
)
async def delete(request: Request) -> Json[Confirmation]:
    """Delete a voice sample. If voices use it, `force=true` is needed and removes it from them."""
    voice_sample_id = request.path_params["prompt_id"]
    library = voice_services(request).library
    force = validated_query(DeletionQuery, request.query_params).force
    await library.delete_voice_sample(voice_sample_id, force=force)
    return Json({"message": f"The sample {voice_sample_id!r} was deleted."})


def _by_id(store: VoiceStore, describe: Callable[[StoredVoiceSample], Description]) -> dict[str, Description]:
    """Describe every voice sample. Blocks."""
    return {voice_sample.id: describe(voice_sample) for voice_sample in store.voice_samples()}
