"""Voice samples waiting to be transcribed in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio
import structlog
from anyio import to_thread

from streaming_server.errors import Draining, Full, SpeechError, StorageFailure, UnknownVoiceSample
from streaming_server.storage.voice_records import StoredVoiceSample
from streaming_server.transcription.client import Transcription
from streaming_server.transcription.transcript import Transcript
from streaming_server.voice_library import VoiceLibrary

STORAGE_RETRY_S = 2.0
"""Seconds between attempts to read or write a store that failed."""
FULL_RETRY_S = 2.0
"""Seconds between attempts to enter Whisper's queue while it is full."""

log = structlog.stdlib.get_logger(__name__)


class TranscriptionQueue:
    """Transcribes every stored voice sample that has no transcript, latest first.

    The samples are looked up in the store, so the ones that were left over are transcribed after the next
    start. One request at a time: many uploads must not fill Whisper's queue.

    auto_transcribe: returns whether voice samples are transcribed automatically.
    """

    def __init__(
        self, transcription: Transcription, library: VoiceLibrary, auto_transcribe: Callable[[], bool]
    ) -> None:
        self._transcription = transcription
        self._library = library
        self._auto_transcribe = auto_transcribe
        self._again: dict[str, StoredVoiceSample] = {}
        self._scheduled = anyio.Event()

    @property
    def enabled(self) -> bool:
        """True if voice samples are transcribed automatically and Whisper is installed."""
        return self._auto_transcribe() and bool(self._transcription.status()["available"])

    def schedule(self, again: Iterable[StoredVoiceSample] = ()) -> bool:
        """Schedule the voice samples without a transcript, and those of `again` in any case.

        Return whether they will be transcribed.
        """
        if not self.enabled:
            return False
        self._again |= {voice_sample.id: voice_sample for voice_sample in again}
        self._scheduled.set()
        return True

    async def run(self) -> None:
        """Transcribe scheduled voice samples until cancelled."""
        while True:
            await self._scheduled.wait()
            self._scheduled = anyio.Event()
            while (voice_sample := await self._next()) is not None:
                await self._transcribe(voice_sample)

    async def _next(self) -> StoredVoiceSample | None:
        while self.enabled:
            if self._again:
                return self._again.pop(next(iter(self._again)))
            try:
                return await to_thread.run_sync(self._library.store.next_without_transcript)
            except SpeechError as error:
                log.warning("cannot read which voice samples need a transcript", reason=error.message)
                await anyio.sleep(STORAGE_RETRY_S)
        return None

    async def _transcribe(self, voice_sample: StoredVoiceSample) -> None:
        try:
            outcome: Transcript | SpeechError = await self._transcript_of(voice_sample)
        except SpeechError as error:
            log.warning("transcription failed", code=error.code, reason=error.message)
            outcome = error
        await self._store(voice_sample, outcome)

    async def _transcript_of(self, voice_sample: StoredVoiceSample) -> Transcript:
        while True:
            try:
                # It may have been stored by another server since the voices were last refreshed.
                await to_thread.run_sync(self._library.store.fetch, voice_sample)
                return await self._transcription.transcribe(voice_sample.path, voice_sample.duration_s)
            except (Full, Draining):
                await anyio.sleep(FULL_RETRY_S)
            except StorageFailure as error:
                log.warning("cannot fetch a voice sample", reason=error.message)
                await anyio.sleep(STORAGE_RETRY_S)

    async def _store(self, voice_sample: StoredVoiceSample, outcome: Transcript | SpeechError) -> None:
        """Store the transcript or the reason for its absence; retry until the store accepts it."""
        while True:
            try:
                if isinstance(outcome, Transcript):
                    await self._library.set_transcript(voice_sample, outcome, keep_better=True)
                else:
                    await self._library.set_transcription_error(voice_sample, outcome)
                return
            except UnknownVoiceSample:
                return
            except SpeechError as error:
                log.warning("cannot store a transcript yet", reason=error.message)
                await anyio.sleep(STORAGE_RETRY_S)
