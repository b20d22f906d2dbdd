"""Voice samples waiting to be transcribed in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import anyio
import structlog
from anyio import to_thread

from streaming_server.errors import Draining, Full, SpeechError, StorageFailure, UnknownVoiceSample
from streaming_server.storage.leases import LEASE_S, RENEW_S, Lease
from streaming_server.storage.voice_records import StoredVoiceSample
from streaming_server.transcription.client import Transcription
from streaming_server.transcription.transcript import Transcript
from streaming_server.voices.library import VoiceLibrary

STORAGE_RETRY_S = 2.0
"""Seconds between attempts to read or write a store that failed."""
FULL_RETRY_S = 2.0
"""Seconds between attempts to enter Whisper's queue while it is full."""
LOOK_S = LEASE_S / 4
"""Seconds between looks for voice samples that another server has left without a transcript."""

log = structlog.stdlib.get_logger(__name__)


class TranscriptionQueue:
    """Transcribes every stored voice sample that has no transcript, latest first.

    The samples are looked up in the store, so the ones that were left over are transcribed after the next
    start or, on a shared store, by another server. Each is claimed by a lease, so that no two servers
    transcribe it. One request at a time: many uploads must not fill Whisper's queue.

    auto_transcribe: returns whether voice samples are transcribed automatically.
    """

    def __init__(
        self, transcription: Transcription, library: VoiceLibrary, auto_transcribe: Callable[[], bool]
    ) -> None:
        self._transcription = transcription
        self._library = library
        self._store = library.store
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
            with anyio.move_on_after(LOOK_S if self._store.shared or self._again else None):
                await self._scheduled.wait()
            self._scheduled = anyio.Event()
            while self.enabled:
                try:
                    if not await self._transcribe_next():
                        break
                except SpeechError as error:  # A damaged database too ends nothing else.
                    log.warning("cannot read a voice sample without a transcript", reason=error.message)
                    await anyio.sleep(STORAGE_RETRY_S)

    async def _transcribe_next(self) -> bool:
        """Transcribe a voice sample. Return False if none is left that no other server transcribes.

        Raise StorageFailure if it could not be read; it is still to be transcribed then.
        """
        for voice_sample in list(self._again.values()):
            if (lease := await self._claim(voice_sample, again=True)) is not None:
                await self._transcribe_again(lease, voice_sample)
                return True
        following = await to_thread.run_sync(self._store.next_without_transcript)
        if following is None:
            return False
        if (lease := await self._claim(following, again=False)) is not None:
            await self._with_lease(lease, following)
        return True

    async def _claim(self, voice_sample: StoredVoiceSample, *, again: bool) -> Lease | None:
        """Return a lease on the transcription; None if another server has one, or has transcribed it."""
        return await to_thread.run_sync(lambda: self._store.claim_transcription(voice_sample, again=again))

    async def _transcribe_again(self, lease: Lease, voice_sample: StoredVoiceSample) -> None:
        self._again.pop(voice_sample.id, None)
        try:
            await self._with_lease(lease, voice_sample)
        except StorageFailure:
            self._again.setdefault(voice_sample.id, voice_sample)
            raise

    async def _with_lease(self, lease: Lease, voice_sample: StoredVoiceSample) -> None:
        """Transcribe a voice sample while the lease lasts, and end the lease. Raise StorageFailure."""
        failure: StorageFailure | None = None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._renew, lease, group.cancel_scope)
                try:
                    await self._transcribe(lease, voice_sample)
                except StorageFailure as error:
                    failure = error
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), suppress(SpeechError):  # It expires.
                await to_thread.run_sync(self._store.release, lease)
        if failure is not None:
            raise failure

    async def _renew(self, lease: Lease, work: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(RENEW_S)
            try:
                if not await to_thread.run_sync(self._store.renew, lease):
                    log.warning("another server may transcribe a voice sample by now")
                    work.cancel()
            except SpeechError as error:  # A lease outlives several attempts.
                log.warning("cannot renew the lease of a transcription", reason=error.message)

    async def _transcribe(self, lease: Lease, voice_sample: StoredVoiceSample) -> None:
        """Store the transcript, or why there is none. Raise StorageFailure if the file cannot be fetched."""
        try:
            outcome: Transcript | SpeechError = await self._transcript_of(voice_sample)
        except StorageFailure:
            raise
        except SpeechError as error:
            log.warning(
                "transcription failed",
                voice_sample=voice_sample.id,
                code=error.code,
                reason=error.message,
            )
            outcome = error
        await self._keep_outcome(lease, voice_sample, outcome)

    async def _transcript_of(self, voice_sample: StoredVoiceSample) -> Transcript:
        # It may have been stored by another server since the voices were last refreshed.
        await to_thread.run_sync(self._store.fetch, voice_sample)
        while True:
            try:
                await self._transcription.load()  # May take longer than a transcription may.
                return await self._transcription.transcribe(voice_sample.path, voice_sample.duration_s)
            except (Full, Draining):
                await anyio.sleep(FULL_RETRY_S)

    async def _keep_outcome(
        self, lease: Lease, voice_sample: StoredVoiceSample, outcome: Transcript | SpeechError
    ) -> None:
        """Store the transcript or the reason for its absence; retry until the store accepts it.

        Store nothing if the lease is lost, as another server may have stored its own transcript.
        """
        while True:
            try:
                if not await to_thread.run_sync(self._store.renew, lease):
                    return
                if isinstance(outcome, Transcript):
                    await self._library.set_transcript(voice_sample, outcome, keep_better=True)
                else:
                    await self._library.set_transcription_error(voice_sample, outcome)
                return
            except UnknownVoiceSample:
                return
            except SpeechError as error:
                log.warning(
                    "cannot store a transcript yet", voice_sample=voice_sample.id, reason=error.message
                )
                await anyio.sleep(STORAGE_RETRY_S)
