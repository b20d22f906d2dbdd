"""What is said in samples, over HTTP: written down by people, or heard by Whisper."""

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
from streaming_server.storage.voices import StoredVoiceSample
from streaming_server.transcription.transcript import Source, Transcript, check_said, given
from streaming_server.web.openapi.operation import BODY_ERRORS, Parameter, operation
from streaming_server.web.requests import flag, keyed, read_json
from streaming_server.web.responses import Json
from streaming_server.web.rest.hearing import hear_soon, keep, note_failure
from streaming_server.web.rest.intake import LONGEST_TRANSCRIPT
from streaming_server.web.rest.voice_sample import playable_voice_sample, stored_voice_sample, warnings_of
from streaming_server.web.services import Parts, parts_of

log = structlog.stdlib.get_logger(__name__)


class NewTranscript(BaseModel):
    model_config = ConfigDict(extra="ignore")

    transcript: str = Field(min_length=1, max_length=LONGEST_TRANSCRIPT)


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
    parts = parts_of(request)
    wanted = await read_json(request, NewTranscript)
    voice_sample = await stored_voice_sample(request)
    said = check_said(wanted.transcript, "transcript")
    voice_sample = await keep(parts, voice_sample, given(said, "manual", voice_sample.duration_s))
    return Json(
        {
            "message": f"The transcript of {voice_sample.id!r} was changed.",
            "prompt_id": voice_sample.id,
            "transcript": voice_sample.transcript,
            "warnings": warnings_of(voice_sample),
            "updated_voices": await _voices_of(parts, voice_sample),
        }
    )


@operation(
    "samples",
    "Transcribe a voice sample with Whisper",
    query=(Parameter("force", bool, "Replace even what a person wrote."),),
    errors=(UnknownVoiceSample, BadValue, BadAudio, Full, StorageFailure),
)
async def transcribe(request: Request) -> Json[HeardTranscript]:
    """Have Whisper listen, whatever transcript there is.

    What a person wrote stays, and so does the text beside the sample, unless `force=true`; and what is to be
    believed stays if what was heard is not. The answer tells what was heard in any case.
    """
    parts = parts_of(request)
    force = flag(request, "force")
    voice_sample = await playable_voice_sample(request)
    heard = await _heard(parts, voice_sample)
    kept = await keep(parts, voice_sample, heard, keep_better=not force)
    replaced = (kept.transcript, kept.transcript_source) == (heard.text, heard.source)
    return Json(
        {
            "prompt_id": kept.id,
            "transcript": kept.transcript,
            "transcript_source": kept.transcript_source,
            "heard": heard.text,
            "replaced": replaced,
            "language": heard.language,
            "language_probability": heard.language_probability,
            "warnings": warnings_of(kept) if replaced else [_why_not(heard), *heard.warnings],
            "saved_to": f"/audio_prompts/metadata/{kept.id}",
            "updated_voices": await _voices_of(parts, kept) if replaced else [],
        }
    )


@operation("samples", "Get the state of Whisper")
async def whisper_status(request: Request) -> Json[WhisperStatus]:
    parts = parts_of(request)
    state = cast(WhisperState, parts.transcription.status())
    return Json({**state, "auto_transcribe": parts.configuration.now.auto_transcribe})


@operation("samples", "Load Whisper now", errors=(Full,))
async def whisper_load(request: Request) -> Json[WhisperLoaded]:
    parts = parts_of(request)
    await parts.transcription.load()
    state = cast(WhisperState, parts.transcription.status())
    return Json({**state, "message": "Whisper is loaded."})


async def _heard(parts: Parts, voice_sample: StoredVoiceSample) -> Transcript:
    """What Whisper hears. Why it hears nothing is stored, if it can be, and raised."""
    try:
        return await parts.transcription.transcribe(voice_sample.path, voice_sample.duration_s)
    except Draining:
        raise
    except SpeechError as error:
        try:
            await note_failure(parts, voice_sample, error)
        except SpeechError as failure:
            log.info("why a sample was not heard is not stored", reason=failure.message)
            hear_soon(parts)
        raise


def _why_not(heard: Transcript) -> str:
    if heard.trustworthy:
        return (
            "The transcript stays as it was given: if what Whisper heard is better, write that down, or ask"
            " with force=true."
        )
    return "The transcript stays as it was, as what Whisper heard is not to be believed."


async def _voices_of(parts: Parts, voice_sample: StoredVoiceSample) -> list[str]:
    known = await to_thread.run_sync(parts.store.voices)
    return [voice.id for voice in known if voice.voice_sample == voice_sample.id and not voice.transcript]
