"""Keeps the catalogue in step with the stored voices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import anyio
import structlog
from anyio import to_thread

from streaming_server.errors import SpeechError, StorageFailure, UnknownVoiceSample
from streaming_server.storage.voice_records import FILE_GONE, StoredVoice, StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.transcript import Transcript, sentence_of, written_transcript
from streaming_server.types import BUILTIN_VOICES, Generation, Voice, VoiceSample
from streaming_server.voices.catalogue import Catalogue, CatalogueEntry

MAX_FAILURES = 3
"""Recordings that cannot be fetched before the others are not tried: the object store may be away."""

log = structlog.stdlib.get_logger(__name__)


class VoiceLibrary:
    """Changes the store and updates the catalogue. A change applies from the next context on.

    prepare: called with every voice that has a usable voice sample, so that the engine can encode it early.
    """

    def __init__(
        self, store: VoiceStore, catalogue: Catalogue, prepare: Callable[[Iterable[Voice]], None]
    ) -> None:
        self.store = store
        self._catalogue = catalogue
        self._prepare = prepare
        self._refreshing = anyio.Lock()
        self._recordings: set[str] = set()
        """The SHA-256 of every recording that the last refresh found."""
        self.incomplete = False
        """True if a recording could not be fetched at the last refresh."""

    async def refresh(self) -> None:
        """Replace the catalogue by the voices of the store. Raise StorageFailure."""
        async with self._refreshing:  # An older snapshot must not replace a newer one.
            entries = await to_thread.run_sync(self._entries)
            self._catalogue.replace(entries)
            self._prepare(entry.voice for entry in entries if entry.voice.voice_sample is not None)

    async def put_voice(self, voice: StoredVoice) -> StoredVoice:
        """Store a voice. Raise as `VoiceStore.put_voice` does."""
        stored = await to_thread.run_sync(self.store.put_voice, voice)
        await self.refresh()
        return stored

    async def change_voice(self, voice_id: str, fields: dict[str, Any]) -> StoredVoice:
        """Change some fields. A new voice sample clears the transcript unless `fields` has one too.

        Raise as `VoiceStore.change_voice` does.
        """
        stored = await to_thread.run_sync(self._change_voice, voice_id, fields)
        await self.refresh()
        return stored

    async def delete_voice(self, voice_id: str) -> None:
        """Raise UnknownVoice, Forbidden."""
        await to_thread.run_sync(self.store.delete_voice, voice_id)
        await self.refresh()

    async def delete_voice_sample(self, voice_sample_id: str, *, force: bool = False) -> None:
        """Raise UnknownVoiceSample; InUse, without `force`, if a voice uses it."""
        await to_thread.run_sync(lambda: self.store.delete_voice_sample(voice_sample_id, force=force))
        await self.refresh()

    async def set_transcript(
        self, voice_sample: StoredVoiceSample, transcript: Transcript, *, keep_better: bool = False
    ) -> StoredVoiceSample:
        """Store a transcript and return the voice sample with the transcript that counts.

        keep_better: as in `VoiceStore.set_transcript`. Raise StorageFailure, or UnknownVoiceSample if the
        recording has been replaced or deleted.
        """
        stored = await to_thread.run_sync(
            lambda: self.store.set_transcript(
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
        await self.refresh()
        return stored

    async def set_transcription_error(self, voice_sample: StoredVoiceSample, error: SpeechError) -> None:
        """Store why there is no transcript, unless there is one by now. Raise as `set_transcript` does."""
        await to_thread.run_sync(
            lambda: self.store.set_transcript(
                voice_sample.id,
                None,
                None,
                findings=(error.message,),
                sha256=voice_sample.sha256,
                keep_better=True,
            )
        )

    def all(self) -> tuple[list[StoredVoice], dict[str, StoredVoiceSample]]:
        """Return the voices, and the voice samples by id. Blocks."""
        return self.store.voices(), {sample.id: sample for sample in self.store.voice_samples()}

    def _entries(self) -> list[CatalogueEntry]:
        voices, voice_samples = self.all()
        self._forget_others(voice_samples.values())
        self._fetch(voice_samples.values())
        return [entry_of(voice, voice_samples) for voice in voices]

    def _forget_others(self, voice_samples: Iterable[StoredVoiceSample]) -> None:
        """Delete this machine's copies of recordings that have been deleted since the last refresh."""
        before, self._recordings = self._recordings, {one.sha256 for one in voice_samples}
        for sha256 in before - self._recordings:
            with suppress(StorageFailure):  # The sweep at the next start deletes it.
                self.store.forget(sha256)

    def _fetch(self, voice_samples: Iterable[StoredVoiceSample]) -> None:
        """Fetch the recordings to this machine, before workers use them."""
        self.incomplete = False
        failures = 0
        for voice_sample in voice_samples:
            try:
                self.store.fetch(voice_sample)
            except UnknownVoiceSample:
                continue  # Reported with the voice, see `voice_sample_problem`.
            except StorageFailure as error:
                log.warning("cannot fetch a voice sample", voice_sample=voice_sample.id, reason=error.message)
                self.incomplete = True
                failures += 1
                if failures == MAX_FAILURES:
                    return

    def _change_voice(self, voice_id: str, fields: dict[str, Any]) -> StoredVoice:
        replaced = (
            "voice_sample" in fields and fields["voice_sample"] != self.store.voice(voice_id).voice_sample
        )
        transcript: dict[str, Any] = {"transcript": None} if replaced else {}
        return self.store.change_voice(voice_id, **(transcript | fields))


def entry_of(voice: StoredVoice, voice_samples: dict[str, StoredVoiceSample]) -> CatalogueEntry:
    """Return the catalogue's entry of a voice, without its voice sample where that cannot be used."""
    stored = voice_samples.get(voice.voice_sample or "")
    voice_sample = None
    if stored is not None and voice_sample_problem(voice, stored) is None:
        voice_sample = VoiceSample(str(stored.path), voice.transcript or stored.transcript or "")
    return CatalogueEntry(
        Voice(voice.id, voice.name, voice.style, voice.primary_speaker, voice_sample),
        Generation(
            temperature=voice.temperature,
            cfg_scale=voice.cfg_scale,
            top_p=voice.top_p,
            seed=voice.seed,
            speed=voice.speed,
            language=voice.language,
            preset=voice.preset,
        ),
        of_engine=voice.builtin and all(voice.id != builtin.id for builtin in BUILTIN_VOICES),
    )


def voice_sample_problem(voice: StoredVoice, voice_sample: StoredVoiceSample | None) -> str | None:
    """Return why the voice sample cannot be used, as a sentence; None if it can, or if there is none."""
    if voice.voice_sample is None or voice_sample is None:
        return None
    if not voice_sample.exists:
        return FILE_GONE
    if voice.transcript or voice_sample.trustworthy:
        return None
    if voice_sample.transcript_findings:
        return sentence_of(voice_sample.transcript_findings[0])
    return "The sample has no transcript yet; transcribe it, or write down what is said in it."


def voice_sample_warnings(voice: StoredVoice, voice_sample: StoredVoiceSample | None) -> list[str]:
    """Return the findings on a written transcript, which is used despite them."""
    if voice.voice_sample is None or voice_sample is None:
        return []
    if voice.transcript:
        return list(written_transcript(voice.transcript, "manual", voice_sample.duration_s).warnings)
    return [sentence_of(finding) for finding in voice_sample.transcript_findings if voice_sample.trustworthy]
