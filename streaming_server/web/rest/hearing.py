"""Samples that Whisper is to listen to, and what is kept of what it heard."""

from __future__ import annotations

import anyio
import structlog
from anyio import to_thread

from streaming_server.errors import Draining, Full, SpeechError, UnknownVoiceSample
from streaming_server.storage.voices import StoredVoiceSample
from streaming_server.transcription.transcript import Transcript
from streaming_server.web.rest.voices import refresh
from streaming_server.web.services import Parts

DISK_EVERY_S = 2.0
"""How often a disk that failed is tried again."""
QUEUE_EVERY_S = 2.0
"""How often a queue that was full is."""

log = structlog.stdlib.get_logger(__name__)


def hear_soon(parts: Parts) -> bool:
    """Have the samples heard that have no transcript, the latest first; whether that is wanted and can be.

    They can be used meanwhile, and whatever comes of it. Which they are is known from the store, so that
    those a server did not come to are heard in its next life.
    """
    if wanted := is_wanted(parts):
        parts.background.see_to(_hear_the_unheard, parts)
    return wanted


def hear_again(parts: Parts, voice_samples: list[StoredVoiceSample]) -> None:
    """Have samples heard that have been already, where that is wanted and can be done."""
    if voice_samples and is_wanted(parts):
        parts.background.start(_hear_each, parts, voice_samples)


def is_wanted(parts: Parts) -> bool:
    """Whether samples are listened to unasked, and Whisper is there."""
    return parts.configuration.now.auto_transcribe and bool(parts.transcription.status()["available"])


async def keep(
    parts: Parts, voice_sample: StoredVoiceSample, transcript: Transcript, *, keep_better: bool = False
) -> StoredVoiceSample:
    """Store a transcript, which counts from the next context on; which one does is in what is returned.

    keep_better: as in `VoiceStore.set_transcript`. Raises StorageFailure; UnknownVoiceSample where the
    recording was replaced or deleted meanwhile.
    """
    kept = await to_thread.run_sync(
        lambda: parts.store.set_transcript(
            voice_sample.id,
            transcript.text,
            source=transcript.source,
            language=transcript.language,
            language_probability=transcript.language_probability,
            findings=transcript.findings,
            sha256=voice_sample.sha256,
            keep_better=keep_better,
        )
    )
    await refresh(parts)
    return kept


async def note_failure(parts: Parts, voice_sample: StoredVoiceSample, error: SpeechError) -> None:
    """Store why there is no transcript; one that there is by now stays. Raises as `keep` does."""
    await to_thread.run_sync(
        lambda: parts.store.set_transcript(
            voice_sample.id,
            None,
            None,
            findings=(error.message,),
            sha256=voice_sample.sha256,
            keep_better=True,
        )
    )


async def _hear_the_unheard(parts: Parts) -> None:
    """One after the other, so that many do not crowd the queue."""
    while is_wanted(parts):
        try:
            voice_sample = await to_thread.run_sync(parts.store.next_without_transcript)
        except SpeechError as error:
            log.warning("what is to be heard is not known", reason=error.message)
            await anyio.sleep(DISK_EVERY_S)
            continue
        if voice_sample is None:
            return
        await _hear(parts, voice_sample)


async def _hear_each(parts: Parts, voice_samples: list[StoredVoiceSample]) -> None:
    for voice_sample in voice_samples:
        await _hear(parts, voice_sample)


async def _hear(parts: Parts, voice_sample: StoredVoiceSample) -> None:
    """Have a sample heard, and keep what comes of it. Why it failed is stored with it."""
    try:
        outcome: Transcript | SpeechError = await _transcribed(parts, voice_sample)
    except SpeechError as error:
        log.warning("transcription failed", code=error.code, reason=error.message)
        outcome = error
    await _put_down(parts, voice_sample, outcome)


async def _transcribed(parts: Parts, voice_sample: StoredVoiceSample) -> Transcript:
    while True:
        try:
            return await parts.transcription.transcribe(voice_sample.path, voice_sample.duration_s)
        except (Full, Draining):
            await anyio.sleep(QUEUE_EVERY_S)


async def _put_down(parts: Parts, voice_sample: StoredVoiceSample, outcome: Transcript | SpeechError) -> None:
    """Store it, as soon as the disk lets it be stored."""
    while True:
        try:
            if isinstance(outcome, Transcript):
                await keep(parts, voice_sample, outcome, keep_better=True)
            else:
                await note_failure(parts, voice_sample, outcome)
            return
        except UnknownVoiceSample:
            return
        except SpeechError as error:
            log.warning("what was heard cannot be stored yet", reason=error.message)
            await anyio.sleep(DISK_EVERY_S)
