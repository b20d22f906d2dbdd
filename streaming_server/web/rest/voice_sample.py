"""A stored voice sample: found by its id, described as JSON."""

from __future__ import annotations

from typing import NotRequired

from anyio import to_thread
from starlette.requests import Request
from typing_extensions import TypedDict

from streaming_server.storage.voice_records import FILE_GONE, StoredVoiceSample
from streaming_server.transcription.transcript import Source, sentence_of
from streaming_server.web.services import voice_services


class SampleSummary(TypedDict):
    file_path: str
    duration: float
    sample_rate: int
    exists: bool
    error: NotRequired[str]


class SampleMetadata(TypedDict):
    """transcript_findings: reasons to doubt the transcript or, as a sentence, why there is none."""

    prompt_id: str
    file_path: str
    duration: float
    sample_rate: int
    original_format: str
    original_sample_rate: int
    channels: int
    transcript: str | None
    transcript_source: Source | None
    transcript_findings: tuple[str, ...]
    language: str | None
    language_probability: float | None
    warnings: list[str]
    waveform: tuple[int, ...]
    hash: str
    discovered_at: str
    exists: bool


async def stored_voice_sample(request: Request) -> StoredVoiceSample:
    """Return the voice sample that the path names. Raise UnknownVoiceSample."""
    store = voice_services(request).library.store
    return await to_thread.run_sync(store.voice_sample, request.path_params["prompt_id"])


async def playable_voice_sample(request: Request) -> StoredVoiceSample:
    """Return the voice sample that the path names. Raise UnknownVoiceSample if its file is missing."""
    store = voice_services(request).library.store
    return await to_thread.run_sync(store.fetched, request.path_params["prompt_id"])


def warnings_of(voice_sample: StoredVoiceSample) -> list[str]:
    """Return the warnings about a recording and its transcript, as sentences."""
    return [*voice_sample.warnings, *map(sentence_of, voice_sample.transcript_findings)]


def summary_json(voice_sample: StoredVoiceSample) -> SampleSummary:
    """Describe a voice sample in a list. Blocks."""
    exists = voice_sample.exists
    listed: SampleSummary = {
        "file_path": f"prompts/{voice_sample.path.name}",
        "duration": voice_sample.duration_s,
        "sample_rate": voice_sample.sample_rate,
        "exists": exists,
    }
    return listed if exists else {**listed, "error": FILE_GONE}


def to_json(voice_sample: StoredVoiceSample) -> SampleMetadata:
    """Describe a voice sample. Blocks."""
    return {
        "prompt_id": voice_sample.id,
        "file_path": f"prompts/{voice_sample.path.name}",
        "duration": voice_sample.duration_s,
        "sample_rate": voice_sample.sample_rate,
        "original_format": voice_sample.original_format,
        "original_sample_rate": voice_sample.original_sample_rate,
        "channels": voice_sample.channels,
        "transcript": voice_sample.transcript,
        "transcript_source": voice_sample.transcript_source,
        "transcript_findings": voice_sample.transcript_findings,
        "language": voice_sample.transcript_language,
        "language_probability": voice_sample.transcript_language_probability,
        "warnings": warnings_of(voice_sample),
        "waveform": voice_sample.waveform,
        "hash": voice_sample.sha256,
        "discovered_at": voice_sample.discovered_at,
        "exists": voice_sample.exists,
    }
