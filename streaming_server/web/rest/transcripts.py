"""The routes of transcripts: written by people, or by Whisper."""

from __future__ import annotations

from typing import Literal, cast

import structlog
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import (
    BadAudio,
    BadValue,
    Draining,
    Full,
    SpeechError,
    StorageFailure,
    UnknownVoiceSample,
)
from streaming_server.storage.voice_records import StoredVoiceSample
from streaming_server.transcription.transcript import Source, Transcript, check_transcript, written_transcript
from streaming_server.voice_samples.ingest import MAX_TRANSCRIPT_CHARS
from streaming_server.web.keyed import check_may_replace, keyed
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json
from streaming_server.web.rest.voice_sample import playable_voice_sample, stored_voice_sample, warnings_of
from streaming_server.web.services import VoiceServices, operations, voice_services
from streaming_server.web.validation import validated_query

log = structlog.stdlib.get_logger(__name__)


class TranscribeQuery(BaseModel):
    force: bool = Field(False, description="Replace even what a person wrote.")


class NewTranscript(BaseModel):
    model_config = ConfigDict(extra="ignore")

    transcript: str = Field(min_length=1, max_length=MAX_TRANSCRIPT_CHARS)


class WrittenTranscript(TypedDict):
    message: str
    prompt_id: str
    transcript: str | None
    warnings: list[str]
    updated_voices: list[str]


class HeardTranscript(TypedDict):
    """heard: what Whisper heard. replaced: whether that is the transcript now."""

    prompt_id: str
    transcript: str | None
    transcript_source: Source | None
    heard: str
    replaced: bool
    language: str | None
    language_probability: float | None
    warnings: list[str]
    saved_to: str
    updated_voices: list[str]


class WhisperState(TypedDict):
    """reason: why it is not available, or failed."""

    available: bool
    model_loaded: bool
    model_size: str
    device: str | None
    state: Literal["off", "loading", "ready", "failed"]
    busy: bool
    waiting: int
    reason: str | None


class WhisperStatus(WhisperState):
    auto_transcribe: bool


class WhisperLoaded(WhisperState):
    message: str


def routes() -> list[BaseRoute]:
    return [
        Route("/audio_prompts/{prompt_id}/transcript", keyed(put_transcript), methods=["PUT"]),
        Route("/audio_prompts/{prompt_id}/transcribe", keyed(transcribe), methods=["POST"]),
        Route("/whisper/status", keyed(whisper_status)),
        Route("/whisper/load", keyed(whisper_load), methods=["POST"]),
    ]


@operation(
    "samples",
    "Set the transcript of a voice sample",
    body=NewTranscript,
    errors=(*BODY_ERRORS, UnknownVoiceSample, StorageFailure),
)
async def put_transcript(request: Request) -> Json[WrittenTranscript]:
    """Store a transcript that a person wrote."""
    voices = voice_services(request)
    wanted = await read_json(request, NewTranscript)
    voice_sample = await stored_voice_sample(request)
    text = check_transcript(wanted.transcript, "transcript")
    check_may_replace(request, _was_written(voice_sample), "a written transcript")
    voice_sample = await voices.library.set_transcript(
        voice_sample, written_transcript(text, "manual", voice_sample.duration_s)
    )
    return Json(
        {
            "message": f"The transcript of {voice_sample.id!r} was changed.",
            "prompt_id": voice_sample.id,
            "transcript": voice_sample.transcript,
            "warnings": warnings_of(voice_sample),
            "updated_voices": await _voices_of(voices, voice_sample),
        }
    )


@operation(
    "samples",
    "Transcribe a voice sample with Whisper",
    query=TranscribeQuery,
    errors=(UnknownVoiceSample, BadValue, BadAudio, Full, StorageFailure),
)
async def transcribe(request: Request) -> Json[HeardTranscript]:
    """Keep a transcript that a person wrote or that was read from a file, unless `force=true`, and a
    trustworthy one if Whisper's is not."""
    voices = voice_services(request)
    force = validated_query(TranscribeQuery, request.query_params).force
    voice_sample = await playable_voice_sample(request)
    check_may_replace(request, force and _was_written(voice_sample), "a written transcript")
    heard = await _transcript_of(voices, voice_sample)
    stored = await voices.library.set_transcript(voice_sample, heard, keep_better=not force)
    replaced = (stored.transcript, stored.transcript_source) == (heard.text, heard.source)
    return Json(
        {
            "prompt_id": stored.id,
            "transcript": stored.transcript,
            "transcript_source": stored.transcript_source,
            "heard": heard.text,
            "replaced": replaced,
            "language": heard.language,
            "language_probability": heard.language_probability,
            "warnings": warnings_of(stored) if replaced else [_why_not(heard), *heard.warnings],
            "saved_to": f"/audio_prompts/metadata/{stored.id}",
            "updated_voices": await _voices_of(voices, stored) if replaced else [],
        }
    )


@operation("samples", "Get the state of Whisper")
async def whisper_status(request: Request) -> Json[WhisperStatus]:
    wanted = operations(request).configuration.now.auto_transcribe
    state = cast(WhisperState, voice_services(request).whisper.status())
    return Json({**state, "auto_transcribe": wanted})


@operation("samples", "Load Whisper now", errors=(Full,))
async def whisper_load(request: Request) -> Json[WhisperLoaded]:
    whisper = voice_services(request).whisper
    await whisper.load()
    state = cast(WhisperState, whisper.status())
    return Json({**state, "message": "Whisper is loaded."})


def _was_written(voice_sample: StoredVoiceSample) -> bool:
    """Return whether a person wrote the transcript, here or in a file."""
    return voice_sample.transcript is not None and voice_sample.transcript_source != "whisper"


async def _transcript_of(voices: VoiceServices, voice_sample: StoredVoiceSample) -> Transcript:
    """Return Whisper's transcript. On failure, store the reason, unless the queue is full, and raise it."""
    try:
        return await voices.whisper.transcribe(voice_sample.path, voice_sample.duration_s)
    except (Draining, Full):
        raise
    except SpeechError as error:
        try:
            await voices.library.set_transcription_error(voice_sample, error)
        except SpeechError as failure:
            log.info("cannot store why a transcription failed", reason=failure.message)
            voices.transcription_queue.schedule()
        raise


def _why_not(heard: Transcript) -> str:
    if heard.trustworthy:
        return "The transcript was kept because a person or a file gave it; use force=true to replace it."
    return "The transcript was kept because what Whisper heard looks unreliable."


async def _voices_of(voices: VoiceServices, voice_sample: StoredVoiceSample) -> list[str]:
    stored = await to_thread.run_sync(voices.library.store.voices)
    return [voice.id for voice in stored if voice.voice_sample == voice_sample.id and not voice.transcript]
